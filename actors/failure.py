"""What a disk's error means to callers: try later, or throw the activation away."""

from __future__ import annotations

import errno
import sqlite3
from typing import Final

from raydo.pipelining.errors import ActivationBroken, StorageFull
from raydo.pipelining.limits import STORAGE_RETRY_AFTER_S

FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


def is_full(error: BaseException) -> bool:
    """Tell whether an error, ours, SQLite's or the system's, says that the disk has no room."""
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL
    return isinstance(error, StorageFull) or (isinstance(error, OSError) and error.errno in FULL)


def full(error: BaseException) -> StorageFull:
    """Say that there is no room, and when to try again."""
    if isinstance(error, StorageFull):
        return error
    return StorageFull(f"The disk is full: {error}", retry_after_s=STORAGE_RETRY_AFTER_S)


def failure(what: object, error: BaseException) -> ActivationBroken | StorageFull:
    """Turn an error of the disk or of SQLite into ours."""
    if is_full(error):
        return full(error)
    return ActivationBroken(f"{what} can't be read or written: {error}")
