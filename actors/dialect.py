"""A statement that SQLite would understand, changed so that the historical engine means the same.

What is told apart is small but silent: a value out of JSON has a type of its own, LIKE does not
tell capitals, a decimal is a REAL, CAST truncates, `max(a, b)` is no aggregate. DuckDB has its own
ideas of each. Where both cannot agree there is an error, never another answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any, Final

from raydo.actors import functions as names
from raydo.actors.json_comparison import MIRRORED, UNKNOWN, compared, is_only_text, is_path
from raydo.actors.json_values import EXTRACTS, KEEPS_TYPE, REALS, JsonValues, is_real
from raydo.actors.moments import MOMENT_FUNCTIONS, Scalar, evaluate, moment
from raydo.actors.spelling import ARROW, RENAMED, words
from raydo.actors.tree import Node, arguments_of, both, cast, compare, constant, function
from raydo.pipelining.errors import QueryError

_INTEGERS: Final = words("bigint int int2 int4 int8 integer smallint tinyint")
_TEXTS: Final = words("string text varchar")
_NOW: Final = {
    "current_date": "date",
    "current_time": "time",
    "current_timestamp": "datetime",
}
_JSON_MAKERS: Final = words("json_array json_group_array json_group_object json_object")
_ARITHMETIC: Final = words("+ - * / // % & | << >>")
_WHOLE: Final = "_raydo_integer"
_POINT: Final = frozenset(".eE")  # in the text of a number: it is a REAL
_MATCHES: Final = words("~~ !~~ ~~* !~~* ~~~ like_escape not_like_escape")
_CONDITIONS: Final = words("condition filter filter_expr having qualify when_expr where_clause")


class Dialect:
    """Change one parsed statement."""

    def __init__(self, parameters: Mapping[str, Scalar]) -> None:
        self._parameters = parameters
        self._values = JsonValues()

    def translate(self, tree: Node) -> Node:
        """Return the tree of what the historical engine runs.

        Raises:
            QueryError: a part has no equal there.
        """
        self._values.learn(tree)
        changed: Node = self._change(tree)
        return changed

    def _change(self, value: Any) -> Any:
        """Change a part, from the inside out."""
        if isinstance(value, list):
            return [self._change(each) for each in value]
        if not isinstance(value, dict):
            return value
        changed = {key: self._change(each) for key, each in value.items()}
        for key in _CONDITIONS & value.keys():
            changed[key] = self._condition(changed[key], value[key])
        rule = _RULES.get(value.get("class", ""))
        if rule is None:
            return changed
        done = rule(self, changed, value)
        return {**done, "alias": value["alias"]} if value["alias"] else done

    def _function(self, node: Node, was: Node) -> Node:
        name = node["function_name"].lower()
        plain = name.removeprefix(RENAMED)
        if plain in MOMENT_FUNCTIONS:
            return self._moment(plain, arguments_of(node))
        if name in EXTRACTS or name == ARROW:
            return self._extract(name, node)
        if name in _BY_COUNT and len(node["arguments"]) > 1:
            return _BY_COUNT[name](arguments_of(node))
        return self._named(name, self._convert(name, node, was), was)

    def _named(self, name: str, node: Node, was: Node) -> Node:
        """Give a function the name that it has in the other engine."""
        if name == "typeof" and any(map(self._values.gives, arguments_of(was))):
            return _named(node, "_raydo_typeof_value")
        if name == "total":
            return function("_raydo_or_zero", _named(node, "sum"), like=node)
        if name in names.LIKES:
            return self._like(name, node)
        if name in KEEPS_TYPE and self._values.gives(was):
            return function("_raydo_of_number", node, like=node)
        return _named(node, names.NAMES.get(name, name))

    def _like(self, name: str, node: Node) -> Node:
        """Let LIKE tell capitals apart outside of ASCII, and only there."""
        pattern = self._constant(arguments_of(node)[1])
        if isinstance(pattern, str) and pattern.isascii():
            return _named(node, names.LIKES[name])
        text, pattern_node, *escape = node["arguments"]
        small = [
            {**each, "expression": function("_raydo_lower", each["expression"])}
            for each in (text, pattern_node)
        ]
        return {**node, "arguments": [*small, *escape]}

    def _condition(self, node: Any, was: Any) -> Any:
        """Let a value out of JSON be a condition: it holds when it is a number that is not 0."""
        if not was or not self._values.gives(was):
            return node
        return compare("COMPARE_NOTEQUAL", function("_raydo_number", node, like=node), constant(0))

    def _conditions(self, node: Node, was: Node) -> Node:
        if node["type"] not in ("CONJUNCTION_AND", "CONJUNCTION_OR", "OPERATOR_NOT"):
            return node
        children = map(self._condition, node["children"], was["children"])
        return {**node, "children": list(children)}

    def _convert(self, name: str, node: Node, was: Node) -> Node:
        """Make of values out of JSON, of conditions and of small numbers what a function takes."""
        wrap = _wrap(name)
        if wrap is None:
            return node
        if name in ("/", "//") and not any(map(is_real, arguments_of(was))):
            self._check_division(was)
        arguments = []
        for each, before in zip(node["arguments"], arguments_of(was), strict=True):
            argument = each["expression"]
            if self._values.gives(before):
                argument = function(wrap, argument, like=argument)
                argument = function(_WHOLE, argument) if name in names.WHOLE else argument
            elif name in names.NUMERIC and _is_condition(before):
                argument = cast(argument, "BIGINT")
            elif name in _ARITHMETIC:
                argument = self._operand(argument)
            arguments.append({**each, "expression": argument})
        return {**node, "arguments": arguments}

    def _operand(self, node: Node) -> Node:
        """Make a constant operand what SQLite reckons with: 64 bits, also out of a text."""
        known = self._constant(node)
        if isinstance(known, str):
            return function("_raydo_real" if _POINT & set(known) else _WHOLE, node)
        return cast(node, "BIGINT") if isinstance(known, int) else node

    def _check_division(self, division: Node) -> None:
        # Whether 5 or 5.0 stood in the JSON is not known any more, and decides what a half is.
        if any(map(self._values.gives, arguments_of(division))):
            raise QueryError(
                "A value out of JSON that is divided over archived events needs a type:"
                " CAST(… AS REAL), CAST(… AS INTEGER), or 1.0 * ….",
            )

    def _moment(self, name: str, arguments: list[Node]) -> Node:
        known = {at: self._constant(each) for at, each in enumerate(arguments)}
        constants = {at: value for at, value in known.items() if value is not UNKNOWN}
        return moment(name, arguments, constants)

    def _constant(self, node: Node) -> Any:
        """Return the value of a constant or a parameter, or UNKNOWN."""
        if node.get("class") == "PARAMETER":
            return self._parameters.get(node["identifier"], UNKNOWN)
        if node.get("class") == "CAST" and node["child"].get("class") == "CONSTANT":
            node = node["child"]
        if node.get("class") != "CONSTANT":
            return UNKNOWN
        kind, text = node["literal"]["kind"], node["literal"]["text"]
        read = {"INTEGER": int, "NUMERIC": float, "STRING": str}.get(kind)
        return None if kind == "NULL_LITERAL" else UNKNOWN if read is None else read(text)

    def _extract(self, name: str, node: Node) -> Node:
        if len(node["arguments"]) != 2:
            raise QueryError("json_extract() over archived events takes one path.")
        doc, label = arguments_of(node)
        path = self._path(name, label)
        if name == ARROW:
            return cast(function("json_extract", doc, path, like=node), "VARCHAR")
        return function("_raydo_json", doc, path, like=node)

    def _path(self, name: str, label: Node) -> Node:
        """Make a JSON path of what stands behind an arrow: a path, a name or an index."""
        known = self._constant(label)
        if isinstance(known, int) and name != "json_extract":
            return constant(f"$[{known}]" if known >= 0 else f"$[#{known}]", label)
        if not isinstance(known, str):
            return function("_raydo_path", label, like=label)
        if not known.startswith("$"):
            if name == "json_extract":
                raise QueryError(f"A JSON path begins with '$', not {known!r}.")
            known = f'$."{known}"'
        if "*" in known:
            raise QueryError("A JSON path has no wildcards.")
        return constant(known, label)

    def _between(self, node: Node, was: Node) -> Node:
        # The engine's own BETWEEN does not know values out of JSON.
        if not any(map(self._values.gives, (was["input"], was["lower"], was["upper"]))):
            return node
        lower = compare("COMPARE_GREATERTHANOREQUALTO", node["input"], node["lower"])
        upper = compare("COMPARE_LESSTHANOREQUALTO", node["input"], node["upper"])
        return both(function("_raydo_holds", lower), function("_raydo_holds", upper))

    def _comparison(self, node: Node, was: Node) -> Node:
        left, right = node["left"], node["right"]
        if self._values.gives(was["left"]):
            return compared(node, str(node["type"]), left, right, self._constant(right))
        if self._values.gives(was["right"]):
            kind = MIRRORED.get(str(node["type"]), str(node["type"]))
            return compared(node, kind, right, left, self._constant(left))
        return node

    def _operator(self, node: Node, was: Node) -> Node:
        first, *others = node["children"]
        only_texts = all(is_only_text(self._constant(each)) for each in others)
        if node["type"] == "COMPARE_IN" and is_path(first) and only_texts:
            text = function("json_extract_string", *arguments_of(first))
            return {**node, "children": [text, *others]}
        return self._conditions(node, was)

    def _cast(self, node: Node, was: Node) -> Node:
        kind, child = node["type_expr"]["type_name"].lower(), node["child"]
        value = self._values.gives(was["child"])
        if kind == "date":  # so does the parser write `date(x)`
            return self._moment("date", [child])
        if kind in _INTEGERS or kind in REALS:
            child = function("_raydo_number", child, like=child) if value else child
            return function(_WHOLE if kind in _INTEGERS else "_raydo_real", child)
        if kind in _TEXTS:
            return cast(function("_raydo_text", child, like=child) if value else child, "VARCHAR")
        return {**node, "try_cast": True}

    def _literal(self, node: Node, _was: Node) -> Node:
        # A number with a point is a REAL in SQLite, and a decimal elsewhere.
        return cast(node, "DOUBLE") if node["literal"]["kind"] == "NUMERIC" else node

    def _column(self, node: Node, _was: Node) -> Node:
        name = node["column_names"][-1].lower()
        if len(node["column_names"]) == 1 and name in _NOW:
            return constant(str(evaluate(_NOW[name], ["now"])), node)
        return node


_RULES: Final[dict[str, Callable[[Dialect, Node, Node], Node]]] = {
    "BETWEEN": Dialect._between,
    "CAST": Dialect._cast,
    "COLUMN_REF": Dialect._column,
    "COMPARISON": Dialect._comparison,
    "CONJUNCTION": Dialect._conditions,
    "CONSTANT": Dialect._literal,
    "FUNCTION": Dialect._function,
    "OPERATOR": Dialect._operator,
    "WINDOW": Dialect._function,
}


def _named(node: Node, name: str) -> Node:
    return {**node, "function_name": name, "qualified_name": {"path": [name]}}


def _wrap(name: str) -> str | None:
    """Name what makes a value out of JSON into what a function takes."""
    if name in names.NUMERIC:
        return "_raydo_number"
    if name in names.TEXTUAL:
        return "_raydo_text"
    return "_raydo_plain" if name in _JSON_MAKERS else None


def _is_condition(node: Node) -> bool:
    if node.get("class") == "FUNCTION":
        return str(node["function_name"]) in _MATCHES
    if node.get("class") == "SUBQUERY":
        return bool(node["subquery_type"] != "SCALAR")
    return node.get("class") in ("BETWEEN", "COMPARISON", "CONJUNCTION") or (
        node.get("class") == "OPERATOR" and node["type"] != "OPERATOR_COALESCE"
    )


def _least(arguments: list[Node]) -> Node:
    """Make SQLite's `min(a, b, …)`, which is NULL when one of them is."""
    return reduce(lambda chosen, each: function("_raydo_least", chosen, each), arguments)


def _greatest(arguments: list[Node]) -> Node:
    return reduce(lambda chosen, each: function("_raydo_greatest", chosen, each), arguments)


def _log(arguments: list[Node]) -> Node:
    base, of = arguments[:2]
    return {**function("/", function("ln", of), function("ln", base)), "is_operator": True}


# What a function means when it gets several arguments.
_BY_COUNT: Final[dict[str, Callable[[list[Node]], Node]]] = {
    "log": _log,
    "max": _greatest,
    "min": _least,
}
