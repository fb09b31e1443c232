"""Which errors mean that there is no room, and which that nothing can go on."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path

import pytest

from raydo.actors.failure import failure, full, is_full
from raydo.pipelining.errors import ActivationBroken, StorageFull


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_told_from_a_failing_one(code: int) -> None:
    told = failure("The log", OSError(code, "full"))
    assert isinstance(told, StorageFull)
    assert told.retryable
    assert told.retry_after_s
    assert isinstance(failure("The log", OSError(errno.EIO, "broken")), ActivationBroken)


def test_a_database_without_room_is_full_and_any_other_error_of_it_is_not(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "a.db")
    connection.execute("CREATE TABLE t (x)")
    connection.execute("PRAGMA max_page_count = 3")
    with pytest.raises(sqlite3.Error) as no_room:
        connection.execute("INSERT INTO t VALUES (zeroblob(100000))")
    with pytest.raises(sqlite3.Error) as wrong:
        connection.execute("SELECT * FROM nothing")
    assert is_full(no_room.value)
    assert not is_full(wrong.value)


def test_what_says_full_already_stays_as_it_is() -> None:
    told = StorageFull("no room")
    assert full(told) is told
