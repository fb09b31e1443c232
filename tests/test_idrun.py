"""Files of message-id hashes: every key is found, none is made up, and damage never goes unseen."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raydo.actors.disk import OsDisk
from raydo.actors.idrun import BLOCK_KEYS, Run, _holds, merged, probes, write_run
from raydo.pipelining.errors import DataUnreadable

DISK = OsDisk()


def made_up(count: int, seed: int = 0) -> list[bytes]:
    source = random.Random(seed)
    return sorted(source.randbytes(16) for _ in range(count))


def written(folder: Path, keys: list[bytes], name: str = "1.ids") -> Run:
    return write_run(DISK, folder / name, 7, len(keys), [b"".join(keys)])


@pytest.mark.parametrize("count", [1, 2, BLOCK_KEYS - 1, BLOCK_KEYS, BLOCK_KEYS + 1, 5_000])
def test_a_file_knows_exactly_its_keys(tmp_path: Path, count: int) -> None:
    keys, others = made_up(count), made_up(count, seed=1)
    run = written(tmp_path, keys)

    assert (run.day, run.count) == (7, count)
    assert run.known(probes([*others, *keys])) == set(keys)
    assert run.keys(0, count) == keys


def test_few_foreign_keys_pass_the_filter(tmp_path: Path) -> None:
    run = written(tmp_path, made_up(5_000))
    looked_at: list[int] = []
    original = run._block
    run._block = lambda block: looked_at.append(block) or original(block)  # type: ignore[method-assign, func-returns-value]

    assert run.known(probes(made_up(5_000, seed=1))) == set()
    assert len(looked_at) < 5_000 / 20


@settings(max_examples=15, deadline=None)
@given(st.sets(st.binary(min_size=2, max_size=2), min_size=1, max_size=20), st.integers(1, 80))
def test_keys_that_differ_only_behind_the_index_are_told_apart(
    tmp_path_factory: pytest.TempPathFactory, tails: set[bytes], repeats: int
) -> None:
    # Same first 8 bytes across several blocks, and keys whose bytes stand across two others.
    prefixes = [b"\0" * 8, b"\1" * 8, b"\xff" * 8]
    keys = sorted(
        {p + n.to_bytes(6, "big") + t for p in prefixes for n in range(repeats) for t in tails}
    )
    present = keys[::2]
    run = written(tmp_path_factory.mktemp("run"), present)

    assert run.known(probes(keys)) == set(present)


def test_the_same_bytes_across_two_keys_are_no_key() -> None:
    one, two = made_up(2)
    across = one[8:] + two[:8]
    assert not _holds(one + two, across)
    assert _holds(one + two + across, across)
    assert not _holds(b"", across)


def test_a_position_is_the_number_of_smaller_keys(tmp_path: Path) -> None:
    keys = made_up(1_000)
    run = written(tmp_path, keys)
    for key in (*keys[::7], b"\0" * 16, b"\xff" * 16):
        prefix = int.from_bytes(key[:8], "big")
        smaller = sum(other < key[:8] + bytes(8) for other in keys)
        assert run.position(prefix) == smaller


def test_a_merge_gives_all_keys_of_all_files_in_order(tmp_path: Path) -> None:
    keys = made_up(20_000)
    runs = [written(tmp_path, sorted(keys[n::3]), f"{n}.ids") for n in range(3)]
    one = written(tmp_path, made_up(1, seed=5), "9.ids")

    chunks = list(merged([*runs, one]))

    assert len(chunks) > 3
    assert b"".join(chunks) == b"".join(sorted([*keys, *one.keys(0, 1)]))


def test_any_flipped_bit_is_found(tmp_path: Path) -> None:
    path = tmp_path / "1.ids"
    written(tmp_path, made_up(BLOCK_KEYS + 6))
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << at % 8]) + whole[at + 1 :])
        with pytest.raises(DataUnreadable, match="damaged"):
            Run(DISK, path).verify()


def test_a_file_cut_short_anywhere_is_found(tmp_path: Path) -> None:
    path = tmp_path / "1.ids"
    written(tmp_path, made_up(20))
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(DataUnreadable, match="damaged"):
            Run(DISK, path).verify()


def test_a_look_at_a_damaged_block_raises_instead_of_answering(tmp_path: Path) -> None:
    keys = made_up(BLOCK_KEYS * 3)
    path = tmp_path / "1.ids"
    written(tmp_path, keys)
    whole = bytearray(path.read_bytes())
    whole[BLOCK_KEYS * 16 + 3] ^= 1
    path.write_bytes(whole)
    run = Run(DISK, path)

    assert run.known(probes(keys[:BLOCK_KEYS])) == set(keys[:BLOCK_KEYS])
    with pytest.raises(DataUnreadable):
        run.known(probes(keys[BLOCK_KEYS : 2 * BLOCK_KEYS]))


def test_what_a_crash_left_of_the_same_name_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "1.ids.new").write_bytes(b"half a file")
    run = written(tmp_path, made_up(10))
    assert run.count == 10
    assert [file.name for file in tmp_path.iterdir()] == ["1.ids"]
