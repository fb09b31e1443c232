"""A statement over a tenant's history that was understood, checked and translated, and may run."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from raydo.actors.dialect import Dialect
from raydo.actors.moments import Scalar
from raydo.actors.permit import Named, Permit
from raydo.actors.question import Question
from raydo.actors.recent import COLUMNS
from raydo.actors.sandbox import Sandbox
from raydo.actors.schema import ROLLED_UP
from raydo.actors.span import Span, Spans
from raydo.actors.spelling import Spelling, spell
from raydo.actors.tree import Node, parse, walk
from raydo.actors.zone import Calendar
from raydo.pipelining.errors import InvalidArgument, QueryError

DATE: Final = "date"
PERSON: Final = "person_id"
_ROLLUP_COLUMNS: Final = frozenset({"event", "timestamp", PERSON, DATE})


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement that was understood, and may run."""

    spelling: Spelling
    tree: Node
    named: Named
    span: Span
    parameters: Mapping[str, Scalar]

    @property
    def columns(self) -> Collection[str]:
        """The columns of `events` that must be read."""
        if self.named.columns is None:
            return (*COLUMNS, DATE, PERSON)
        rollups = _ROLLUP_COLUMNS if self.named.tables & set(ROLLED_UP) else frozenset()
        return self.named.columns | rollups


def understand(
    sandbox: Sandbox, question: Question, calendar: Calendar, tables: Collection[str]
) -> Statement:
    """Parse, check and translate a statement.

    Raises:
        QueryError, QueryForbidden, QueryLimit: it does not parse, or may not run.
    """
    spelling = spell(question.sql)
    tree = parse(sandbox.engine, spelling)
    named = Permit(spelling, tables).check(tree)
    parameters = bound(tree, question.params)
    translated = Dialect(parameters).translate(tree)
    span = Spans(parameters, calendar).find(translated)
    return Statement(spelling, translated, named, span, parameters)


def bound(tree: Node, params: Any) -> dict[str, Scalar]:
    """Give each parameter of a statement its value, by its place or its name.

    Raises:
        QueryError: there are too few, or too many.
        InvalidArgument: they are no parameters.
    """
    names = _parameters(tree)
    given = [] if params is None else params
    if isinstance(given, Mapping):
        missing = [name for name in names if name not in given]
        if missing:
            raise QueryError(f"You did not supply a value for binding :{missing[0]}.")
        values = {name: given[name] for name in names}
    elif isinstance(given, list | tuple):
        places = max((int(name) for name in names if name.isdecimal()), default=len(names))
        if places != len(given):
            raise QueryError(f"The statement has {places} parameters, and {len(given)} are given.")
        values = {
            name: given[int(name) - 1 if name.isdecimal() else at] for at, name in enumerate(names)
        }
    else:
        raise InvalidArgument("params is a list for ? or an object for :name.")
    return {name: _plain(value) for name, value in values.items()}


def _parameters(tree: Node) -> list[str]:
    """Name the parameters, in the order of the text."""
    found = [node for node in walk(tree) if node.get("class") == "PARAMETER"]
    found.sort(key=lambda node: int(node["query_location"]))
    return list(dict.fromkeys(node["identifier"] for node in found))


def _plain(value: object) -> Scalar:
    if isinstance(value, bool):
        return int(value)
    if value is None or isinstance(value, str | int | float | bytes):
        return value
    raise InvalidArgument(f"A parameter cannot be a {type(value).__name__}.")
