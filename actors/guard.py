"""What an object's own SQL may touch, asked of SQLite's authorizer at each prepared statement.

raydo's tables live in the same file as the object's. An object reads `raw_events` and never
writes it except by `pipeline.emit`; names that begin with `_raydo_` are not there for it. And the
turn owns the transaction: nobody else begins, ends, or attaches anything.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from raydo.pipelining.errors import ActivationBroken, QueryForbidden, StorageFull

HIDDEN: Final = "_raydo_"
EVENT_TABLE: Final = "raw_events"
MERGED_TABLE: Final = "merged_ids"
VIEWS: Final = ("events", "hourly_events", "daily_metrics", "retention")
OWN_NAMES: Final = frozenset({EVENT_TABLE, MERGED_TABLE, *VIEWS})
CALL_SAVEPOINT: Final = f"{HIDDEN}call"

# What tells something and changes nothing that outlives the transaction.
_PRAGMAS: Final = """case_sensitive_like data_version defer_foreign_keys foreign_key_check
    foreign_key_list foreign_keys function_list index_info index_list index_xinfo integrity_check
    legacy_alter_table optimize quick_check recursive_triggers table_info table_list
    table_xinfo"""
_PRAGMA_NAMES: Final = frozenset(_PRAGMAS.split())
_TEMPORARY: Final = frozenset(
    {
        sqlite3.SQLITE_CREATE_TEMP_INDEX,
        sqlite3.SQLITE_CREATE_TEMP_TABLE,
        sqlite3.SQLITE_CREATE_TEMP_TRIGGER,
        sqlite3.SQLITE_CREATE_TEMP_VIEW,
        sqlite3.SQLITE_DROP_TEMP_INDEX,
        sqlite3.SQLITE_DROP_TEMP_TABLE,
        sqlite3.SQLITE_DROP_TEMP_TRIGGER,
        sqlite3.SQLITE_DROP_TEMP_VIEW,
    }
)
# Which of the authorizer's two names is the thing that a statement would change.
_CHANGES_FIRST: Final = frozenset(
    {
        sqlite3.SQLITE_INSERT,
        sqlite3.SQLITE_UPDATE,
        sqlite3.SQLITE_DELETE,
        sqlite3.SQLITE_CREATE_TABLE,
        sqlite3.SQLITE_CREATE_VIEW,
        sqlite3.SQLITE_CREATE_VTABLE,
        sqlite3.SQLITE_DROP_TABLE,
        sqlite3.SQLITE_DROP_VIEW,
        sqlite3.SQLITE_DROP_VTABLE,
    }
)
_CHANGES_SECOND: Final = frozenset(
    {
        sqlite3.SQLITE_ALTER_TABLE,
        sqlite3.SQLITE_CREATE_INDEX,
        sqlite3.SQLITE_CREATE_TRIGGER,
        sqlite3.SQLITE_DROP_INDEX,
        sqlite3.SQLITE_DROP_TRIGGER,
    }
)


class Guard:
    """Answer the authorizer, and keep the sentence that says why something was refused."""

    def __init__(self) -> None:
        self.trusted = False  # raydo's own statement is being prepared
        self._refusal: str | None = None

    def __call__(
        self, action: int, first: str | None, second: str | None, _schema: object, _source: object
    ) -> int:
        if self.trusted:
            return sqlite3.SQLITE_OK
        reason = _reason(action, first or "", second or "")
        if reason is None:
            return sqlite3.SQLITE_OK
        self._refusal = self._refusal or reason
        return sqlite3.SQLITE_DENY

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turn SQLite's "not authorized" into the sentence that belongs to it.

        Raises:
            QueryForbidden: the statement inside was refused.
            StorageFull, ActivationBroken: it is the disk's fault, and none of the object's.
        """
        self._refusal = None
        try:
            yield
        except sqlite3.DatabaseError as error:
            if self._refusal is not None:
                raise QueryForbidden(self._refusal) from error
            kind = error.sqlite_errorcode & 0xFF if hasattr(error, "sqlite_errorcode") else 0
            if kind == sqlite3.SQLITE_FULL:
                raise StorageFull("The disk is full.") from error
            if kind in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT):
                raise ActivationBroken(f"The database failed: {error}.") from error
            raise


def hidden(name: str) -> bool:
    """Say whether a table or index is raydo's bookkeeping, which nobody's SQL sees."""
    return name.lower().startswith(HIDDEN)


def _reason(action: int, first: str, second: str) -> str | None:
    rule = _RULES.get(action)
    if rule is not None:
        return rule(first, second)
    if action in _TEMPORARY:
        return "Temporary tables would not survive hibernation: use an ordinary table."
    if action in _CHANGES_FIRST:
        return _change(first)
    if action in _CHANGES_SECOND:
        return _change(second) or _change(first)
    return None


def _change(name: str) -> str | None:
    if hidden(name):
        return f"Names that begin with {HIDDEN} are raydo's own."
    if name.lower() in OWN_NAMES:
        return f"{name} is raydo's own: read it freely, and write to it by pipeline.emit."
    return None


def _read(table: str, _column: str) -> str | None:
    return f"Names that begin with {HIDDEN} are raydo's own." if hidden(table) else None


def _pragma(name: str, _argument: str) -> str | None:
    return None if name.lower() in _PRAGMA_NAMES else f"PRAGMA {name} is not for objects."


def _savepoint(_operation: str, name: str) -> str | None:
    return f"Names that begin with {HIDDEN} are raydo's own." if hidden(name) else None


def _function(_first: str, name: str) -> str | None:
    return "Extensions cannot be loaded." if name.lower() == "load_extension" else None


def _transaction(operation: str, _second: str) -> str:
    return f"Each call is one transaction already: {operation} is the turn's to say."


def _attach(_first: str, _second: str) -> str:
    return "An object has one database, its own: nothing can be attached or detached."


_RULES: Final[dict[int, Callable[[str, str], str | None]]] = {
    sqlite3.SQLITE_ATTACH: _attach,
    sqlite3.SQLITE_DETACH: _attach,
    sqlite3.SQLITE_FUNCTION: _function,
    sqlite3.SQLITE_PRAGMA: _pragma,
    sqlite3.SQLITE_READ: _read,
    sqlite3.SQLITE_SAVEPOINT: _savepoint,
    sqlite3.SQLITE_TRANSACTION: _transaction,
}
