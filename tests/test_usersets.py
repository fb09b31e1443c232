"""Users of each bucket: the exact set, whatever is in memory, and writes that follow what is new."""

from __future__ import annotations

import random
from collections import defaultdict

import pytest
from pyroaring import BitMap

from raydo.actors import usersets
from raydo.actors.database import Database
from raydo.actors.usersets import UserSets, bucket_of_slot, is_bot_slot, slot_of


@pytest.fixture
def database() -> Database:
    database = Database(None)
    for statement in usersets.TABLES:
        database.run(statement)
    return database


def stored(sets: UserSets, first: int, end: int, *, bots: bool = True) -> dict[int, set[int]]:
    found: defaultdict[int, set[int]] = defaultdict(set)
    for bucket, users in sets.read(range(first, end), bots=bots):
        found[bucket] |= set(users)
    return dict(found)


def rows(database: Database) -> list[tuple[int, int]]:
    return database.run("SELECT id, length(users) FROM _raydo_user_sets ORDER BY id")


@pytest.mark.parametrize("bucket", [-5, 0, 7, 2_000_000])
@pytest.mark.parametrize("bot", [False, True])
def test_a_slot_is_a_bucket_and_a_kind(bucket: int, bot: bool) -> None:
    slot = slot_of(bucket, bot)
    assert (bucket_of_slot(slot), is_bot_slot(slot)) == (bucket, bot)


def test_only_users_that_were_not_in_are_new(database: Database) -> None:
    sets = UserSets(database)
    assert sets.add({4: BitMap([1, 2]), 6: BitMap([1])}) == {4: BitMap([1, 2]), 6: BitMap([1])}
    assert sets.add({4: BitMap([2, 3]), 6: BitMap([1])}) == {4: BitMap([3])}


def test_who_is_in_already_costs_no_write(database: Database) -> None:
    sets = UserSets(database)
    sets.add({4: BitMap(range(100))})
    before = database.connection.total_changes
    sets.add({4: BitMap(range(50, 100))})
    assert database.connection.total_changes == before


def test_humans_and_bots_are_apart(database: Database) -> None:
    sets = UserSets(database)
    sets.add({slot_of(9, False): BitMap([1]), slot_of(9, True): BitMap([1, 2])})
    assert stored(sets, 9, 10) == {9: {1, 2}}
    assert stored(sets, 9, 10, bots=False) == {9: {1}}
    assert stored(sets, 10, 20) == {}


@pytest.mark.parametrize("memory", ["kept", "forgotten", "none"])
def test_sets_are_exact_in_every_state_of_memory(
    database: Database, memory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usersets, "USER_SET_REWRITE_BYTES", 64)
    monkeypatch.setattr(usersets, "USER_SET_PARTS_MAX", 3)
    if memory == "none":
        monkeypatch.setattr(usersets, "USER_SETS_BYTES_MAX", 0)
    source = random.Random(memory)
    sets, model = UserSets(database), defaultdict[int, set[int]](set)
    for _ in range(300):
        batch = {
            source.randrange(-6, 6): BitMap(source.sample(range(200_000), source.randrange(1, 30)))
            for _ in range(3)
        }
        new = sets.add(batch)
        for slot, users in batch.items():
            assert set(new.get(slot, ())) == set(users) - model[slot]
            model[slot] |= set(users)
        if memory == "forgotten":
            sets.forget()
    by_bucket: defaultdict[int, set[int]] = defaultdict(set)
    for slot, users in model.items():
        by_bucket[slot >> 1] |= users
    assert stored(sets, -6, 6) == by_bucket
    assert max(row & 63 for row, _ in rows(database)) == 3


def test_a_large_set_is_not_rewritten_for_each_new_user(database: Database) -> None:
    sets, source = UserSets(database), random.Random(1)
    written_bytes = 0
    database.run("CREATE TEMP TABLE writes (bytes INTEGER)")
    for verb in ("INSERT", "UPDATE"):
        database.run(
            f"CREATE TEMP TRIGGER on_{verb} AFTER {verb} ON _raydo_user_sets BEGIN"
            " INSERT INTO writes VALUES (length(new.users)); END"
        )
    for _ in range(1_000):
        sets.add({2: BitMap(source.sample(range(5_000_000), 50))})
    written_bytes = database.run("SELECT sum(bytes) FROM writes")[0][0]
    size = sum(size for _, size in rows(database))

    assert size > 100_000
    assert written_bytes < 45 * size  # each drain writing the whole set would be 500 times
    assert len(rows(database)) <= 1 + usersets.USER_SET_PARTS_MAX


def test_a_set_that_is_rewritten_is_one_row_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usersets, "USER_SET_REWRITE_BYTES", 0)
    monkeypatch.setattr(usersets, "USER_SET_PARTS_MAX", 2)
    sets = UserSets(database)
    lengths = []
    for user in range(0, 60_000, 1_000):
        sets.add({8: BitMap([user])})
        lengths.append(len(rows(database)))
    assert lengths[-6:] in ([1, 2, 3] * 2, [2, 3, 1] * 2, [3, 1, 2] * 2)
    assert stored(sets, 4, 5) == {4: set(range(0, 60_000, 1_000))}


def test_memory_is_bounded(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usersets, "USER_SETS_BYTES_MAX", 20_000)
    sets = UserSets(database)
    for slot in range(0, 400, 2):
        sets.add({slot: BitMap(range(slot, slot + 100))})
    assert sum(held.memory_bytes for held in sets._held.values()) == sets._held_bytes <= 20_000
    oldest = list(sets._held)[:2]
    sets.add({oldest[0]: BitMap([1])})
    sets.add({999: BitMap(range(100))})
    assert oldest[0] in sets._held
    assert oldest[1] not in sets._held
