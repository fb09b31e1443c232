"""A comparison with a value out of JSON, as the historical engine does it rightly and fast.

By itself the engine compares such values slowly, and its BETWEEN, which its optimizer makes of two
comparisons, does not know them. With a constant, only one of the two things that a value can be
has to be looked at: any text is greater than any number.
"""

from __future__ import annotations

import re
from typing import Final

from raydo.actors.tree import Node, arguments_of, compare, function

UNKNOWN: Final = object()  # instead of a constant's value
MIRRORED: Final = {
    "COMPARE_GREATERTHAN": "COMPARE_LESSTHAN",
    "COMPARE_GREATERTHANOREQUALTO": "COMPARE_LESSTHANOREQUALTO",
    "COMPARE_LESSTHAN": "COMPARE_GREATERTHAN",
    "COMPARE_LESSTHANOREQUALTO": "COMPARE_GREATERTHANOREQUALTO",
}

_MACROS: Final = {
    "COMPARE_EQUAL": "eq",
    "COMPARE_GREATERTHAN": "gt",
    "COMPARE_GREATERTHANOREQUALTO": "ge",
    "COMPARE_LESSTHAN": "lt",
    "COMPARE_LESSTHANOREQUALTO": "le",
}
_ALSO_NO_TEXT: Final = re.compile(r"-?\d|true$|false$")


def compared(node: Node, kind: str, value: Node, other: Node, known: object) -> Node:
    """Make the comparison `node` of a value out of JSON with another; `known` if it is constant."""
    if kind not in _MACROS:
        return node
    if kind == "COMPARE_EQUAL" and is_path(value) and is_only_text(known):
        return compare(kind, function("json_extract_string", *arguments_of(value)), other)
    if isinstance(known, str | int | float):
        type_name = "text" if isinstance(known, str) else "number"
        return function(f"_raydo_{_MACROS[kind]}_{type_name}", value, other, like=node)
    return function("_raydo_holds", node, like=node)


def is_path(node: Node) -> bool:
    """Say whether an expression is a path's value itself."""
    return bool(node.get("function_name") == "_raydo_json")


def is_only_text(known: object) -> bool:
    """Say whether a constant is a text that no number and no truth in JSON is written as."""
    return isinstance(known, str) and _ALSO_NO_TEXT.match(known) is None
