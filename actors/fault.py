"""Why a statement did not run, in a sentence that a person can use, with the place in the text.

`detail` of such an error has `position` (characters from the start), `line` and `column` (from 1),
`near` (names that exist), or `limit` (which one was hit) and `max`.
"""

from __future__ import annotations

import difflib
import json
import re
import sqlite3
from collections.abc import Mapping
from typing import Any, Final

from raydo.actors.guard import hidden
from raydo.actors.schema import VIEW_COLUMNS
from raydo.actors.spelling import Spelling, Token, tokens
from raydo.actors.tree import Engine, Node, parse, place, walk
from raydo.pipelining.errors import CallerError, QueryError, QueryForbidden, QueryLimit, RaydoError
from raydo.pipelining.limits import QUERY_ENGINE_BYTES, QUERY_MEMORY_BYTES

_MB: Final = 1024 * 1024
_SYNTAX: Final = re.compile(r'near "(.+)": syntax error', re.DOTALL)
_UNKNOWN: Final = re.compile(r"no such (column|table|function): ([^\s?]+?)\.?(?: Did you|$)")
_NO_COLUMN: Final = "COLUMN_NOT_FOUND"
_NOT_IN_TABLE: Final = re.compile(r'does not have a column named "(.+)"')
_OCCURRENCES_MAX: Final = 50
_HISTORICAL_VALUE: Final = re.compile(r"UNION\(num DOUBLE, str VARCHAR\)|_raydo_value")


def placed(error: CallerError, sql: str) -> CallerError:
    """Say where in the statement an error is, if that is known or can be found."""
    detail: dict[str, Any] = dict(error.detail) if isinstance(error.detail, Mapping) else {}
    if "position" not in detail:
        position = _find(error.message, sql)
        if position is None:
            return error
        detail["position"] = position
    before = sql[: detail["position"]]
    detail["line"] = before.count("\n") + 1
    detail["column"] = detail["position"] - (before.rfind("\n") + 1) + 1
    where = f"line {detail['line']}, column {detail['column']}"
    message = error.message if where in error.message else f"{error.message} It is at {where}."
    return type(error)(message, detail=detail, retry_after_s=error.retry_after_s)


def limited(error: RaydoError) -> RaydoError:
    """Name the limit that was hit, where the message alone does."""
    if isinstance(error, QueryLimit) and error.detail is None:
        limit = "time" if error.message.startswith("The query ran for") else "size"
        return QueryLimit(error.message, detail={"limit": limit})
    return error


def out_of_memory(most: int = QUERY_MEMORY_BYTES) -> QueryLimit:
    """Make the error of a question that needs more memory than there is for it."""
    return QueryLimit(
        f"The query needs more than {most // _MB} MB of memory.",
        detail={"limit": "memory", "max": most},
    )


def of_engine(
    error: Exception, given: str, tree: Node, engine: Engine, spelling: Spelling
) -> RaydoError:
    """Turn an error of DuckDB about the text `given`, which stands for `tree`, into one of ours."""
    try:
        told: dict[str, Any] = json.loads(str(error).partition(": ")[2])
    except ValueError:
        told = {"exception_message": str(error)}
    kind = type(error).__name__
    if kind == "OutOfMemoryException":
        return out_of_memory(QUERY_ENGINE_BYTES)
    message = _first_line(str(told.get("exception_message", error)))
    if kind == "PermissionException":
        return QueryForbidden("A query reads its tenant's own tables.")
    detail: dict[str, Any] = {}
    qualified = _NOT_IN_TABLE.search(message)
    if qualified:
        told |= {"name": qualified[1], "candidates": ",".join(VIEW_COLUMNS.split())}
        told["error_subtype"] = _NO_COLUMN
    near = _near(told)
    if told.get("error_subtype") == _NO_COLUMN:
        message = f"no such column: {told['name']}"
    if near:
        detail["near"] = near
    position = _origin(told, given, tree, engine, spelling)
    if position is not None:
        detail["position"] = position
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    return QueryError(f"{message.rstrip('.!')}.{hint}", detail=detail or None)


def _near(told: Mapping[str, Any]) -> list[str]:
    """Choose of the names that the engine proposes those that look like the one it misses."""
    if told.get("error_subtype") not in (_NO_COLUMN, "MISSING_ENTRY"):
        return []
    name, known = str(told.get("name", "")), str(told.get("candidates", ""))
    names = [each.strip().strip('"').rpartition(".")[2] for each in known.split(",")]
    return difflib.get_close_matches(name, [each for each in names if not hidden(each)], n=3)


def _first_line(message: str) -> str:
    line = message.partition("\n")[0]
    return _HISTORICAL_VALUE.sub("a value out of JSON", line)


def _origin(
    told: Mapping[str, Any], given: str, tree: Node, engine: Engine, spelling: Spelling
) -> int | None:
    """Find the original place of what the engine complains about in the text that it was given."""
    if "position" not in told:
        return None
    mirror = parse(engine, Spelling(given, given, [(0, 0)]))
    byte = int(told["position"])
    for mine, theirs in zip(walk(tree), walk(mirror), strict=False):
        if mine.get("class") != theirs.get("class") or mine.get("type") != theirs.get("type"):
            return None
        if place(theirs) == byte and place(mine) is not None:
            return spelling.origin(place(mine) or 0)
    return None


def _find(message: str, sql: str) -> int | None:
    """Find what SQLite names in its message, which has no position of its own."""
    syntax = _SYNTAX.match(message)
    if syntax:
        return _find_syntax(syntax[1], sql)
    if message.startswith("incomplete input"):
        return len(sql)
    unknown = _UNKNOWN.match(message)
    return _find_name(unknown[2], sql) if unknown else None


def _find_name(name: str, sql: str) -> int | None:
    qualifier, _, last = name.rpartition(".")
    words = tokens(sql)
    for at, word in enumerate(words):
        if _unquoted(word) == last.lower() and word.kind in ("word", "name"):
            before = _unquoted(words[at - 2]) if at > 1 and words[at - 1].text == "." else ""
            if not qualifier or before == qualifier.rpartition(".")[2].lower():
                return word.start
    return None


def _find_syntax(text: str, sql: str) -> int | None:
    """Find the first word at which the statement stops being the beginning of one."""
    connection = sqlite3.connect(":memory:")
    connection.set_authorizer(_only_select)  # some pragmas act when they are prepared
    try:
        found = [word for word in tokens(sql) if word.text.startswith(text)][:_OCCURRENCES_MAX]
        for word in found:
            if f'near "{text}"' in _complaint(connection, sql[: word.end]):
                return word.start
    finally:
        connection.close()
    return None


def _complaint(connection: sqlite3.Connection, sql: str) -> str:
    try:
        connection.execute(f"EXPLAIN {sql}")
    except (sqlite3.Error, sqlite3.Warning) as error:
        return str(error)
    return ""


def _only_select(action: int, *_: object) -> int:
    return sqlite3.SQLITE_OK if action == sqlite3.SQLITE_SELECT else sqlite3.SQLITE_DENY


def _unquoted(word: Token) -> str:
    return word.text.strip('"`').lower()
