"""Which expressions of a statement give values out of JSON, whose types only the data know.

SQLite asks each value for its type. The historical engine has one type for such values, and its
functions do not take it; so whoever translates a statement has to know where they are.
"""

from __future__ import annotations

from typing import Final

from raydo.actors.functions import CHOOSING
from raydo.actors.spelling import words
from raydo.actors.tree import Node, arguments_of, walk

EXTRACTS: Final = frozenset({"->>", "json_extract"})
KEEPS_TYPE: Final = words("+ - * / // % abs sum")  # an INTEGER of INTEGERs
REALS: Final = words("decimal double float numeric real")

_ALWAYS_REAL: Final = frozenset({"avg", "round", "total"})
_REAL_OF_REALS: Final = words("+ - * / //")
_PASSES_MAX: Final = 8  # aliases of aliases


class JsonValues:
    """Know the names of columns that hold values out of JSON."""

    def __init__(self) -> None:
        self._names: set[str] = set()

    def learn(self, tree: Node) -> None:
        """Find the names that a statement gives to such values."""
        for _ in range(_PASSES_MAX):
            before = len(self._names)
            for node in walk(tree):
                self._learn(node)
            if len(self._names) == before:
                return

    def gives(self, node: Node) -> bool:
        """Say whether an expression gives a value out of JSON."""
        kind = node.get("class")
        if kind == "COLUMN_REF":
            return node["column_names"][-1].lower() in self._names
        if kind in ("FUNCTION", "WINDOW"):
            name = node["function_name"].lower()
            keeps = name in CHOOSING or (name in KEEPS_TYPE and not is_real(node))
            return name in EXTRACTS or (keeps and any(map(self.gives, arguments_of(node))))
        return any(map(self.gives, _outcomes(node)))

    def _learn(self, node: Node) -> None:
        for item in node.get("select_list", ()):
            if item["alias"] and self.gives(item):
                self._names.add(item["alias"].lower())
        if "query_node" in node:
            self._learn_renamed(node["query_node"], node["aliases"])
        if node.get("type") == "SUBQUERY" and "column_name_alias" in node:
            self._learn_renamed(node["subquery"]["node"], node["column_name_alias"])

    def _learn_renamed(self, query: Node, aliases: list[str]) -> None:
        for item, alias in zip(query.get("select_list", ()), aliases, strict=False):
            if self.gives(item):
                self._names.add(alias.lower())


def is_real(node: Node) -> bool:
    """Say whether an operand is a REAL whatever the data are."""
    kind = node.get("class")
    if kind == "CONSTANT":
        return bool(node["literal"]["kind"] == "NUMERIC")
    if kind == "CAST":
        return str(node["type_expr"]["type_name"]).lower() in REALS
    if kind != "FUNCTION":
        return False
    name = node["function_name"].lower()
    return name in _ALWAYS_REAL or (
        name in _REAL_OF_REALS and any(map(is_real, arguments_of(node)))
    )


def _outcomes(node: Node) -> list[Node]:
    """Give the parts of an expression that may be what it gives back."""
    kind = node.get("class")
    if kind == "CASE":
        return [*(check["then_expr"] for check in node["case_checks"]), node["else_expr"]]
    if kind == "OPERATOR" and node["type"] == "OPERATOR_COALESCE":
        return list(node["children"])
    if kind == "SUBQUERY" and node["subquery_type"] == "SCALAR":
        return list(node["subquery"]["node"].get("select_list", ()))
    return []
