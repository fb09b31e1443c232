"""A SELECT as the historical engine's own parser sees it: nested dicts, to be looked at and changed.

What is checked is what runs: the statement is parsed into a tree, the tree is checked and changed,
and the engine gets the text that the tree stands for. The text that came from outside is not run.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final, Protocol

from raydo.actors.spelling import Spelling
from raydo.pipelining.errors import QueryError, QueryForbidden, QueryLimit

Node = dict[str, Any]

NOWHERE: Final = 2**64 - 1  # the parser's location of what stands nowhere in the text
DEPTH_MAX: Final = 400  # of nested dicts and lists: an expression of 100 levels has 3 for each
NODES_MAX: Final = 20_000


class Engine(Protocol):
    """What this needs of a DuckDB connection."""

    def execute(self, query: str, parameters: object = None) -> Any: ...


def parse(engine: Engine, spelling: Spelling) -> Node:
    """Parse exactly one SELECT.

    Raises:
        QueryError: it does not parse; `detail` has the position.
        QueryForbidden: it is several statements, or not a SELECT.
        QueryLimit: it is nested too deeply, or too long.
    """
    reply = engine.execute("SELECT json_serialize_sql(?)", [spelling.text]).fetchall()[0][0]
    try:
        parsed = json.loads(reply)
    except RecursionError:
        raise _too_deep() from None
    if parsed["error"]:
        raise _not_parsed(parsed, spelling)
    statements = parsed["statements"]
    if len(statements) != 1:
        raise QueryForbidden("A query is one statement.")
    tree: Node = statements[0]
    _check_size(tree)
    return tree


def render(engine: Engine, tree: Node) -> str:
    """Return the text that a tree stands for."""
    whole = json.dumps({"error": False, "statements": [tree]})
    text: str = engine.execute("SELECT json_deserialize_sql(?::JSON)", [whole]).fetchall()[0][0]
    return text


def walk(node: Node) -> Iterator[Node]:
    """Give a node and all dicts below it, each before those below it."""
    waiting = [node]
    while waiting:
        here = waiting.pop()
        yield here
        waiting.extend(below(here))


def below(value: Node) -> Iterator[Node]:
    """Give the dicts below, through any number of lists."""
    waiting: list[Any] = list(value.values())
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            yield each
        elif isinstance(each, list):
            waiting.extend(each)


def place(node: Node) -> int | None:
    """Return the byte of the text at which a node stands, or None."""
    byte = node.get("query_location", NOWHERE)
    return None if byte >= NOWHERE else int(byte)


def arguments_of(node: Node) -> list[Node]:
    """Return the arguments of a function."""
    return [each["expression"] for each in node.get("arguments", ())]


# Parts of a tree that a change needs


def function(name: str, *arguments: Node, like: Node | None = None) -> Node:
    """Make a call of a function, at the place of `like`."""
    return {
        **_expression("FUNCTION", "FUNCTION", like),
        "function_name": name,
        "schema": "",
        "filter": None,
        "order_bys": {"type": "ORDER_MODIFIER", "orders": []},
        "distinct": False,
        "is_operator": False,
        "export_state": False,
        "catalog": "",
        "arguments": [{"name": "", "expression": argument} for argument in arguments],
        "qualified_name": {"path": [name]},
    }


def constant(value: str | int | None, like: Node | None = None) -> Node:
    """Make a constant."""
    kind = "STRING" if isinstance(value, str) else "NULL_LITERAL" if value is None else "INTEGER"
    return {
        **_expression("CONSTANT", "VALUE_CONSTANT", like),
        "literal": {"kind": kind, "text": "" if value is None else str(value)},
    }


def cast(child: Node, type_name: str) -> Node:
    """Make a cast to a plain type."""
    kind = {
        **_expression("TYPE", "TYPE", child),
        "catalog": "",
        "schema": "",
        "type_name": type_name,
        "children": [],
        "qualified_name": {"path": [type_name]},
    }
    return {
        **_expression("CAST", "OPERATOR_CAST", child),
        "child": child,
        "try_cast": False,
        "type_expr": kind,
    }


def compare(kind: str, left: Node, right: Node) -> Node:
    """Make a comparison such as `COMPARE_EQUAL`."""
    return {**_expression("COMPARISON", kind, left), "left": left, "right": right}


def both(*conditions: Node) -> Node:
    """Make a condition that holds when all of `conditions` do."""
    return {
        **_expression("CONJUNCTION", "CONJUNCTION_AND", conditions[0]),
        "children": list(conditions),
    }


def _expression(kind: str, detail: str, like: Node | None) -> Node:
    like = like or {}
    return {
        "class": kind,
        "type": detail,
        "alias": "",
        "query_location": like.get("query_location", NOWHERE),
        "query_location_length": like.get("query_location_length", 0),
    }


def _check_size(tree: Node) -> None:
    waiting: list[tuple[Any, int]] = [(tree, 0)]
    nodes = 0
    while waiting:
        value, depth = waiting.pop()
        nodes += 1
        if depth > DEPTH_MAX:
            raise _too_deep()
        if nodes > NODES_MAX:
            raise QueryLimit(
                f"The query is over a limit of size: more than {NODES_MAX} parts.",
                detail={"limit": "parts", "max": NODES_MAX},
            )
        below = value.values() if isinstance(value, dict) else value
        waiting.extend((each, depth + 1) for each in below if isinstance(each, dict | list))


def _too_deep() -> QueryLimit:
    return QueryLimit(
        "The query is over a limit of size: it is nested too deeply.", detail={"limit": "depth"}
    )


def _not_parsed(parsed: Node, spelling: Spelling) -> Exception:
    message = str(parsed["error_message"])
    if parsed.get("error_type") != "parser":
        if message.startswith("Only SELECT"):
            return QueryForbidden("A query can only read: one SELECT, and WITH before it.")
        return QueryError(f"{message}.")
    if "nested" in message or "depth" in message:
        return _too_deep()
    position = spelling.origin(int(parsed["position"])) if "position" in parsed else None
    return QueryError(f"{message}.", detail=None if position is None else {"position": position})
