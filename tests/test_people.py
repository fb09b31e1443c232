"""Users' numbers, and the buckets that each person was seen in."""

from __future__ import annotations

import pytest

from raydo.actors import people
from raydo.actors.database import Database
from raydo.actors.people import People


@pytest.fixture
def database() -> Database:
    database = Database(None)
    for statement in people.TABLES:
        database.run(statement)
    return database


# What is text to a person may be anything to a database.
NAMES = ["alice", "Alice", "alice ", "", "日本", "é", "e\u0301", "a\0b", "a", "1", "1.0", "'; --"]


def test_each_text_is_one_person_and_stays_it(database: Database) -> None:
    persons = People(database).persons(NAMES)
    assert len(set(persons.values())) == len(NAMES)
    assert People(database).persons(NAMES[::-1]) == persons
    assert [People(database).person(name) for name in NAMES] == list(persons.values())


def test_a_name_never_met_is_nobody(database: Database) -> None:
    assert People(database).person("alice") is None


@pytest.mark.parametrize("count", [1, 2, 511, 512, 513, 1_500])
def test_any_number_of_names_is_looked_up_at_once(database: Database, count: int) -> None:
    names = [f"user {n}" for n in range(count)]
    first = People(database).persons(names)
    assert sorted(first.values()) == list(range(1, count + 1))
    assert People(database).persons([*names, "one more"]) == {**first, "one more": count + 1}


def test_a_name_that_stands_for_another_person_counts_as_that_one(database: Database) -> None:
    everybody = People(database)
    alice, bob = everybody.persons(["alice", "bob"]).values()
    database.run("UPDATE _raydo_users SET person = ? WHERE name = 'bob'", (alice,))
    everybody.forget()
    assert everybody.persons(["alice", "bob", "eve"]) == {
        "alice": alice,
        "bob": alice,
        "eve": bob + 1,
    }


def test_memory_is_bounded(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(people, "USERS_CACHED_MAX", 10)
    everybody = People(database)
    persons = everybody.persons([f"user {n}" for n in range(100)])
    assert list(everybody._persons) == [f"user {n}" for n in range(90, 100)]
    assert everybody.persons(list(persons)) == persons


def test_a_person_was_seen_in_all_its_buckets(database: Database) -> None:
    everybody = People(database)
    everybody.saw({1: [5, 7], 2: [-3]})
    everybody.saw({1: [6, 5], 3: [1]})
    assert everybody.seen(1) == [5, 6, 7]
    assert everybody.seen(2) == [-3]
    assert everybody.seen(4) == []


def test_writes_follow_the_persons_seen(database: Database) -> None:
    everybody = People(database)
    everybody.saw({person: list(range(1_000)) for person in range(50)})
    before = database.connection.total_changes
    everybody.saw({7: [2_000]})
    assert database.connection.total_changes - before == 1
