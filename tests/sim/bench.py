"""One tenant's folder on the simulated disk, whose logs are opened one after another."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

from sim.disk import SimDisk

from raydo.actors.log import Log
from raydo.actors.segment import SegmentId, file_name
from raydo.pipelining.noun import Noun

FOLDER = Path("/data/Analytics/acme")
NOUN = Noun("Analytics", "acme")


class Bench:
    """One tenant's folder on a simulated disk, whose logs are opened one after another."""

    def __init__(self) -> None:
        self.disk = SimDisk(Random(1))
        self.random = Random(2)
        self.epoch = 0

    def open(
        self,
        drained_seq: int = 0,
        *,
        noun: Noun = NOUN,
        epoch: int | None = None,
        check: Callable[[], None] = lambda: None,
        segment_bytes: tuple[int, int] = (4096, 8192),
    ) -> Log:
        self.epoch = epoch or self.epoch + 1
        return Log.open(
            self.disk,
            FOLDER,
            noun=noun,
            epoch=self.epoch,
            drained_seq=drained_seq,
            check=check,
            random=self.random.randbytes,
            segment_bytes=segment_bytes,
        )

    def files(self) -> list[str]:
        return [path.name for path in self.disk.paths()]

    def damage(self, path: Path, offset: int) -> None:
        data = bytearray(self.disk.content(path))
        data[offset] ^= 0x40
        self.disk.overwrite(path, bytes(data))


def fill(log: Log, *writes: int, size: int = 20) -> None:
    """Append and sync: `fill(log, 2, 1)` is a write of two records and one of one."""
    for count in writes:
        for _ in range(count):
            seq = log.last_seq + 1
            log.append(1, seq, b"%d:" % seq + b"x" * size)
        log.sync()


def seqs(log: Log, after_seq: int = 0) -> list[int]:
    return [record.seq for record in log.records(after_seq)]


def path(epoch: int, number: int, suffix: str = "") -> Path:
    return FOLDER / file_name(SegmentId(epoch, number), suffix)


def filled(writes: int = 12, segment_bytes: tuple[int, int] = (4096, 4096)) -> Bench:
    bench = Bench()
    fill(bench.open(segment_bytes=segment_bytes), *[2] * writes)
    bench.disk.kill()
    return bench


def laid(files: dict[Path, bytes]) -> Bench:
    """Return a folder that holds these files."""
    bench = Bench()
    for where, data in files.items():
        bench.disk.overwrite(where, data)
    bench.epoch = 1
    return bench


def contents(bench: Bench) -> dict[Path, bytes]:
    return {where: bench.disk.content(where) for where in bench.disk.paths()}
