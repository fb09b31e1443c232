from __future__ import annotations

from pathlib import Path

import pytest

from raydo.actors.database import Database
from raydo.actors.dedupe import DAY_MS, LOOKUP_IDS_MAX, Dedupe
from raydo.actors.schema import open_database
from raydo.pipelining.limits import DEDUPE_DAYS

NOW_MS = 1_767_225_600_000  # 2026-01-01


def keep(database: Database, dedupe: Dedupe) -> None:
    """What a commit does."""
    database.run_many("INSERT OR REPLACE INTO _raydo_seen_ids VALUES (?, ?)", dedupe.changes())
    database.commit()
    dedupe.settle()


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return open_database(tmp_path / "tenant.db")


@pytest.fixture
def dedupe(database: Database) -> Dedupe:
    return Dedupe(database)


def test_an_id_is_fresh_once_within_one_batch_and_across_batches(dedupe: Dedupe) -> None:
    assert dedupe.fresh([b"a", b"b", b"a"], NOW_MS) == [True, True, False]
    assert dedupe.fresh([b"b", b"c"], NOW_MS) == [False, True]
    assert dedupe.fresh([], NOW_MS) == []


def test_a_rollback_makes_the_calls_own_ids_fresh_again(dedupe: Dedupe) -> None:
    dedupe.fresh([b"a"], NOW_MS)
    mark = dedupe.mark()
    dedupe.fresh([b"b", b"a"], NOW_MS)
    dedupe.rollback(mark)
    assert dedupe.fresh([b"a", b"b"], NOW_MS) == [False, True]


def test_a_kept_id_is_known_to_the_next_activation(database: Database, dedupe: Dedupe) -> None:
    dedupe.fresh([b"a"], NOW_MS)
    keep(database, dedupe)
    assert Dedupe(database).fresh([b"a", b"b"], NOW_MS) == [False, True]


def test_an_id_counts_once_within_the_window_and_again_after_it(
    database: Database, dedupe: Dedupe
) -> None:
    dedupe.fresh([b"a"], NOW_MS)
    keep(database, dedupe)
    assert dedupe.fresh([b"a"], NOW_MS + DEDUPE_DAYS * DAY_MS) == [False]
    assert dedupe.fresh([b"a"], NOW_MS + (DEDUPE_DAYS + 1) * DAY_MS) == [True]
    keep(database, dedupe)
    assert dedupe.fresh([b"a"], NOW_MS + (DEDUPE_DAYS + 2) * DAY_MS) == [False]


def test_a_batch_larger_than_one_lookup_is_decided_whole(
    database: Database, dedupe: Dedupe
) -> None:
    ids = [str(n).encode() for n in range(3 * LOOKUP_IDS_MAX + 1)]
    assert dedupe.fresh(ids[::2], NOW_MS) == [True] * len(ids[::2])
    keep(database, dedupe)
    assert dedupe.fresh(ids, NOW_MS) == [n % 2 == 1 for n in range(len(ids))]
