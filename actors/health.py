"""What may be wrong with a machine and a data folder, found by looking; nothing is changed.

Each check tells what it found and, when that is not good, what to do. What is measured is given to a
pure function, so that its judgement can be tried without the machine that deserves it.
"""

from __future__ import annotations

import os
import platform
import resource
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Final, Literal, NamedTuple

from raydo.actors import tenant
from raydo.actors.claim import FOLDER, Claim, server_of
from raydo.actors.disk import OsDisk
from raydo.actors.residents import FILES_PER_ACTIVATION
from raydo.pipelining.errors import DataInUse

Grade = Literal["ok", "warning", "error"]

SYNCS: Final = 32
TOO_FAST_S: Final = 0.00003  # not even a drive with a battery answers so soon over its bus
SLOW_S: Final = 0.05
FREE_MIN: Final = 1_000_000_000
FREE_SHARE_MIN: Final = 0.1
FILES_MIN: Final = 4_096
CLOCK_EPOCH_S: Final = 1_767_225_600  # 2026: an earlier time means a clock that was never set
AHEAD_S: Final = 5.0
_PACKAGES: Final = ("raydo", "ray", "pyarrow", "pyiceberg", "duckdb", "uvicorn")
_PYTHON_MIN: Final = (3, 11)
_WAL_BUG: Final = (3, 51, 3)  # before it two connections that checkpoint at once corrupt a file


class Finding(NamedTuple):
    """What a check found; `cure` says what to do, and is empty when all is well."""

    check: str
    grade: Grade
    text: str
    cure: str = ""


def examine(data: Path) -> Iterator[Finding]:
    """Look at everything, one thing after the other."""
    for check in _CHECKS:
        yield check(data)


def judge_disk(free: int, total: int) -> Finding:
    """Judge the room that is left."""
    text = f"{free / 1e9:,.1f} GB free of {total / 1e9:,.1f}"
    if free < FREE_MIN:
        return Finding("disk", "error", text, "Make room now: at 0 writes are refused (507).")
    if free < total * FREE_SHARE_MIN:
        cure = "Make room, archive to a bucket (--lake), or set retention_months."
        return Finding("disk", "warning", text, cure)
    return Finding("disk", "ok", text)


def judge_syncs(took_s: list[float]) -> Finding:
    """Judge whether a sync can have reached a disk, and how long one waits for it."""
    middle_s, worst_s = median(took_s), max(took_s)
    text = f"a sync takes {middle_s * 1000:.2f} ms, {worst_s * 1000:.1f} at worst of {len(took_s)}"
    if middle_s < TOO_FAST_S:
        cure = (
            "That is too fast for a disk: a memory file system, or one that ignores syncs, loses"
            " what was acknowledged when power fails. Put the folder on a real disk."
        )
        return Finding("fsync", "error", text, cure)
    if middle_s > SLOW_S:
        cure = (
            "Each acknowledgement waits for this: use an SSD, or a volume with more I/O a second."
        )
        return Finding("fsync", "warning", text, cure)
    return Finding("fsync", "ok", text)


def judge_clock(now_s: float, newest_s: float | None) -> Finding:
    """Judge the clock by the time of the newest file that this machine has written."""
    text = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now_s))
    if now_s < CLOCK_EPOCH_S:
        return Finding(
            "clock", "error", text, "The clock was never set: start chrony or timesyncd."
        )
    if newest_s is not None and newest_s - now_s > AHEAD_S:
        text += f", and a file of the folder is {newest_s - now_s:,.0f} s ahead of it"
        return Finding("clock", "warning", text, "The clock went back: check chrony or timesyncd.")
    return Finding("clock", "ok", text)


def judge_files(soft: int) -> Finding:
    """Judge how many files a process may open."""
    objects = soft // 2 // FILES_PER_ACTIVATION
    text = f"{soft:,} open files a process: {objects:,} objects awake in each"
    if soft < FILES_MIN:
        return Finding(
            "files", "warning", text, "Raise it: LimitNOFILE=65536, or `ulimit -n 65536`."
        )
    return Finding("files", "ok", text)


def judge_versions(found: dict[str, str]) -> Finding:
    """Judge what is installed."""
    text = ", ".join(f"{name} {number}" for name, number in found.items())
    if sys.version_info < _PYTHON_MIN:
        return Finding("versions", "error", text, "raydo needs Python 3.11 or newer.")
    missing = [name for name, number in found.items() if number == "missing"]
    if missing:
        return Finding(
            "versions", "error", text, 'Install the server: pip install "raydo[server]".'
        )
    if tuple(map(int, found["SQLite"].split("."))) < _WAL_BUG:
        text += " (one connection a file checkpoints here, so its WAL-reset bug is not met)"
    return Finding("versions", "ok", text)


def sync_times(folder: Path, count: int = SYNCS) -> list[float]:
    """Measure syncs of a small write each, in a file that goes again."""
    disk = OsDisk()
    path = folder / f"doctor-{os.getpid()}"
    handle = disk.create(path)
    took_s = []
    try:
        disk.preallocate(handle, count * 512)
        disk.sync(handle)
        for n in range(count):
            disk.write(handle, os.urandom(512), n * 512)
            began_s = time.perf_counter()
            disk.sync(handle)
            took_s.append(time.perf_counter() - began_s)
    finally:
        disk.close(handle)
        with suppress(FileNotFoundError):
            disk.unlink(path)
    return took_s


def _disk(data: Path) -> Finding:
    usage = shutil.disk_usage(_nearest(data))
    return judge_disk(usage.free, usage.total)


def _syncs(data: Path) -> Finding:
    folder = data if data.is_dir() else _nearest(data)
    try:
        return judge_syncs(sync_times(folder))
    except OSError as error:
        return Finding("fsync", "error", f"{folder}: {error}", "Let this user write there.")


def _clock(data: Path) -> Finding:
    newest_s = None
    for noun in tenant.tenants(data):
        with suppress(OSError):
            stamp = (tenant.folder(data, noun) / "epoch").stat().st_mtime
            newest_s = stamp if newest_s is None else max(stamp, newest_s)
    return judge_clock(time.time(), newest_s)


def _files(_data: Path) -> Finding:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return judge_files(soft if soft != resource.RLIM_INFINITY else 1 << 20)


def _versions(_data: Path) -> Finding:
    found = {"Python": platform.python_version(), "SQLite": sqlite3.sqlite_version}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "missing"
    return judge_versions(found)


def _lock(data: Path) -> Finding:
    if not (data / FOLDER).is_dir():
        return Finding("folder", "ok", f"{data} is not there yet; a server makes it")
    count = sum(1 for _ in tenant.tenants(data))
    try:
        claim = Claim.shared(data)
    except DataInUse:
        claim = None
    server = server_of(data)
    if claim is None:
        who = "another process" if server is None else f"process {server.pid} ({server.mode})"
        return Finding("folder", "ok", f"{count:,} tenants; {who} has the folder for itself")
    claim.release()
    return Finding("folder", "ok", f"{count:,} tenants; Ray may serve it, or nobody does")


def _ray(data: Path) -> Finding:
    from raydo.actors.cluster import reachable

    server = server_of(data)
    if server is None or server.mode != "ray" or server.address is None:
        return Finding("ray", "ok", "no Ray serves this folder now")
    if reachable(server.address):
        return Finding("ray", "ok", f"Ray at {server.address} answers")
    cure = "If the server should run, look into its log; the next `raydo serve` starts Ray anew."
    return Finding("ray", "warning", f"Ray at {server.address} does not answer", cure)


def _nearest(path: Path) -> Path:
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return path


_CHECKS: Final[tuple[Callable[[Path], Finding], ...]] = (
    *(_versions, _disk, _syncs, _clock, _files, _lock, _ray),
)
