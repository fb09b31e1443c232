"""What a statement over a tenant's history may consist of: whatever is not listed is refused.

The historical engine's settings are no sandbox of their own: with them all in place it still makes
tables, sets variables and overwrites the very files that it may read. So each part
of the parsed statement is looked at, and every table is either one of the tenant's or named by a
WITH in whose reach it stands.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection
from typing import Final, NamedTuple, NoReturn

from raydo.actors.functions import FUNCTIONS, OPERATORS
from raydo.actors.gate import FUNCTIONS as RECENT_FUNCTIONS
from raydo.actors.guard import hidden
from raydo.actors.spelling import Spelling, words
from raydo.actors.tree import Node, below, place, walk
from raydo.pipelining.errors import QueryError, QueryForbidden, QueryLimit

COLUMNS_MAX: Final = 100  # as in SQLite
TABLES_MAX: Final = 32  # tables in one statement, each time it is named
SCHEMA: Final = "main"

_EXPRESSIONS: Final = words("""BETWEEN CASE CAST COLLATE COLUMN_REF COMPARISON CONJUNCTION CONSTANT FUNCTION OPERATOR
    PARAMETER POSITIONAL_REFERENCE STAR SUBQUERY TYPE WINDOW""")
_OPERATIONS: Final = words("""COMPARE_IN COMPARE_NOT_IN GROUPING_FUNCTION OPERATOR_COALESCE OPERATOR_IS_NOT_NULL
    OPERATOR_IS_NULL OPERATOR_NOT""")
_QUERIES: Final = frozenset({"RECURSIVE_CTE_NODE", "SELECT_NODE", "SET_OPERATION_NODE"})
_SOURCES: Final = frozenset(
    {"BASE_TABLE", "EMPTY", "EXPRESSION_LIST", "JOIN", "SUBQUERY", "TABLE_FUNCTION"}
)
_JOINS: Final = frozenset({"INNER", "LEFT", "OUTER", "RIGHT"})
_JOIN_KINDS: Final = frozenset({"CROSS", "NATURAL", "REGULAR"})
_PARTS: Final = words(
    """ASCENDING DESCENDING DISTINCT_MODIFIER LIMIT_MODIFIER ORDER_DEFAULT ORDER_MODIFIER"""
)
_COLLATIONS: Final = frozenset({"binary", "nocase"})
_TYPES: Final = words("""bigint blob boolean bool date decimal double float int int2 int4 int8 integer numeric real
    smallint string text timestamp tinyint varchar""")


class Named(NamedTuple):
    """What a statement names."""

    tables: frozenset[str]  # of the tenant
    columns: frozenset[str] | None  # None: all of them


class Permit:
    """Check one statement."""

    def __init__(self, spelling: Spelling, tables: Collection[str]) -> None:
        self._spelling = spelling
        self._tables = tables
        self._named: list[str] = []

    def check(self, tree: Node) -> Named:
        """Look at every part; tell what is named, and write tables with their schema.

        Raises:
            QueryForbidden: a part is not allowed.
            QueryError: a table or function is not known; `detail` has what is near.
            QueryLimit: too many columns or tables.
        """
        self._visit(tree["node"], frozenset())
        return Named(frozenset(self._named), _columns(tree))

    def _visit(self, node: Node, scope: frozenset[str]) -> None:
        """Check a node and all below it; `scope` has what WITHs around it name."""
        waiting = [(node, scope)]
        while waiting:
            here, scope = waiting.pop()
            if "cte_map" in here:
                scope = self._with(here, scope)
            self._look(here, scope)
            waiting += [(each, scope) for each in below(here) if each is not here.get("cte_map")]

    def _with(self, node: Node, scope: frozenset[str]) -> frozenset[str]:
        """Check the parts of a WITH, each of which sees those before it."""
        for entry in node["cte_map"]["map"]:
            name = _lower(entry["key"])
            query = entry["value"]["query_node"]
            recursive = query.get("type") == "RECURSIVE_CTE_NODE"
            self._visit(query, scope | {name} if recursive else scope)
            scope |= {name}
        return scope

    def _look(self, node: Node, scope: frozenset[str]) -> None:
        if "class" in node:
            self._expression(node)
        elif node.get("type") in _QUERIES:
            self._query(node)
        elif node.get("type") in _SOURCES:
            self._source(node, scope)
        elif "type" in node and node["type"] not in _PARTS:
            self._refuse(str(node["type"]).removesuffix("_NODE"), node)

    def _query(self, node: Node) -> None:
        if node.get("sample") is not None:
            self._refuse("SAMPLE", node)
        columns = len(node.get("select_list", ()))
        if columns > COLUMNS_MAX:
            raise QueryLimit(
                f"The query is over a limit of size: {columns} columns, and {COLUMNS_MAX} may be.",
                detail={"limit": "columns", "max": COLUMNS_MAX},
            )

    def _source(self, node: Node, scope: frozenset[str]) -> None:
        kind = node["type"]
        if node.get("sample") is not None or node.get("at_clause") is not None:
            self._refuse("SAMPLE and AT", node)
        if kind == "BASE_TABLE":
            self._table(node, scope)
        elif kind == "JOIN" and (
            node["join_type"] not in _JOINS or node["ref_type"] not in _JOIN_KINDS
        ):
            self._refuse(f"This kind of JOIN ({node['ref_type']} {node['join_type']})", node)
        elif kind == "TABLE_FUNCTION":
            self._refuse(f"{node['function']['function_name']}() as a table", node)

    def _table(self, node: Node, scope: frozenset[str]) -> None:
        name, schema = _lower(node["table_name"]), _lower(node["schema_name"])
        if node["catalog_name"] or schema not in ("", SCHEMA):
            self._refuse(f"{node['schema_name']}.{node['table_name']}", node)
        if not schema and name in scope:
            return
        if hidden(name):
            self._refuse(name, node)
        if name not in self._tables:
            self._unknown("table", node["table_name"], self._tables, node)
        self._named.append(name)
        if len(self._named) > TABLES_MAX:
            raise QueryLimit(
                f"The query names more than {TABLES_MAX} tables.",
                detail={"limit": "tables", "max": TABLES_MAX},
            )
        # From here on nothing else can answer to this name.
        node["alias"] = node["alias"] or node["table_name"]
        node["schema_name"] = SCHEMA
        node["qualified_name"] = {"path": [SCHEMA, node["table_name"]]}

    def _expression(self, node: Node) -> None:
        kind = node["class"]
        if kind not in _EXPRESSIONS:
            self._refuse(kind, node)
        if kind in ("FUNCTION", "WINDOW"):
            self._function(node)
        elif kind == "OPERATOR" and node["type"] not in _OPERATIONS:
            self._refuse(node["type"], node)
        elif kind == "STAR" and (node["columns"] or node["expr"] is not None):
            self._refuse("COLUMNS()", node)
        elif kind == "COLLATE" and _lower(node["collation"]) not in _COLLATIONS:
            self._refuse(f"COLLATE {node['collation']}", node)
        elif kind == "TYPE" and (node["schema"] or _lower(node["type_name"]) not in _TYPES):
            self._refuse(f"The type {node['type_name']}", node)

    def _function(self, node: Node) -> None:
        name = _lower(node["function_name"])
        if node["schema"] or node["catalog"]:
            self._refuse(f"{node['schema']}.{name}()", node)
        if name in (OPERATORS if node.get("is_operator") else FUNCTIONS):
            return
        if name in RECENT_FUNCTIONS:
            raise QueryError(f"{name}() does not run over archived events.", detail=self._at(node))
        self._unknown("function", node["function_name"], FUNCTIONS, node)

    def _unknown(self, kind: str, name: str, known: Collection[str], node: Node) -> NoReturn:
        near = difflib.get_close_matches(name, [each for each in known if not hidden(each)], n=3)
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        detail = {**self._at(node), **({"near": near} if near else {})}
        raise QueryError(f"no such {kind}: {name}.{hint}", detail=detail or None)

    def _refuse(self, what: str, node: Node) -> NoReturn:
        raise QueryForbidden(f"{what} is not for queries.", detail=self._at(node) or None)

    def _at(self, node: Node) -> dict[str, object]:
        byte = place(node)
        return {} if byte is None else {"position": self._spelling.origin(byte)}


def _columns(tree: Node) -> frozenset[str] | None:
    """Name every column that may be read, or None for all of them."""
    columns: set[str] = set()
    alone: set[str] = set()
    sources: set[str] = set()
    for node in walk(tree):
        if node.get("class") == "STAR" or node.get("ref_type") == "NATURAL":
            return None
        if node.get("class") == "COLUMN_REF":
            names = [_lower(name) for name in node["column_names"]]
            columns.update(names)
            alone.update(names if len(names) == 1 else ())
        if node.get("type") in _SOURCES:
            sources.update((_lower(node["alias"]), _lower(node.get("table_name", ""))))
            columns.update(map(_lower, node.get("using_columns", ())))
    # A table's name where a column's should be stands for its whole row.
    return None if alone & sources else frozenset(columns)


def _lower(name: str) -> str:
    """Fold a name as the engine does: ASCII letters alone."""
    return "".join(chr(ord(c) + 32) if "A" <= c <= "Z" else c for c in name)
