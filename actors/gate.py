"""What a query from outside may name: public tables, listed functions, and nothing that writes.

An allow-list, asked of SQLite's authorizer while it prepares the statement; whatever it does not
know it refuses.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from raydo.actors.guard import VIEWS, hidden

_CATALOG: Final = frozenset({"sqlite_master", "sqlite_schema", "json_each", "json_tree"})
_SCALARS: Final = """abs changes char coalesce concat concat_ws format glob hex ifnull iif instr
    length like likelihood likely lower ltrim max min nullif octet_length printf quote random
    randomblob replace round rtrim sign soundex sqlite_version substr substring trim typeof unhex
    unicode unlikely upper zeroblob"""
_DATES: Final = """current_date current_time current_timestamp date datetime julianday local_date
    local_hour strftime time timediff unixepoch"""
_NUMBERS: Final = """acos acosh asin asinh atan atan2 atanh ceil ceiling cos cosh degrees exp floor
    ln log log10 log2 mod pi pow power radians sin sinh sqrt tan tanh trunc"""
_AGGREGATES: Final = """avg count cume_dist dense_rank first_value group_concat lag last_value lead
    median nth_value ntile percent_rank percentile rank row_number string_agg sum total"""
_JSON: Final = """-> ->> json json_array json_array_length json_each json_error_position
    json_extract json_group_array json_group_object json_insert json_object json_patch json_pretty
    json_quote json_remove json_replace json_set json_tree json_type json_valid"""
_FULL_TEXT: Final = "bm25 highlight match snippet"
FUNCTIONS: Final = frozenset(
    f"{_SCALARS} {_DATES} {_NUMBERS} {_AGGREGATES} {_JSON} {_FULL_TEXT}".split()
)


class Gate:
    """The authorizer: SELECT, public tables, listed functions, recursion."""

    def __init__(self, tables: set[str], modules: set[str]) -> None:
        public = {name.lower() for name in tables if not hidden(name)}
        self._tables = public | set(VIEWS) | _CATALOG
        self._modules = modules
        self.refusal: str | None = None

    def __call__(
        self, action: int, first: str | None, second: str | None, _schema: object, _source: object
    ) -> int:
        reason = self._reason(action, (first or "").lower(), (second or "").lower())
        if reason is None:
            return sqlite3.SQLITE_OK
        self.refusal = self.refusal or reason
        return sqlite3.SQLITE_DENY

    def _reason(self, action: int, first: str, second: str) -> str | None:
        if action in (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_RECURSIVE):
            return None
        if action == sqlite3.SQLITE_READ:
            return None if self._readable(first, second) else f"{first} is not for queries."
        if action == sqlite3.SQLITE_FUNCTION:
            return None if second in FUNCTIONS else f"{second}() is not for queries."
        if _opens_virtual_table(action, first, second):
            return None
        return "A query can only read: one SELECT, and WITH before it."

    def _readable(self, table: str, column: str) -> bool:
        if table in self._tables:
            return True
        # A part of WITH is named too when no column of it is read. Whatever else answers to a name
        # without being in the schema is a module of SQLite's, or begins like one.
        known = table in self._modules or table.startswith(("sqlite_", "pragma_"))
        return not column and not known and not hidden(table)


def _opens_virtual_table(action: int, first: str, second: str) -> bool:
    """Recognise what SQLite itself does to open a virtual table, such as a full-text index.

    A statement that says the same changes nothing: the schema is read-only without
    `writable_schema`, which no query can set.
    """
    if action == sqlite3.SQLITE_PRAGMA:
        return first == "data_version" and not second
    return action == sqlite3.SQLITE_UPDATE and first == "sqlite_master"
