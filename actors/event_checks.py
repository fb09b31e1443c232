"""What an event may not be, each with a sentence that names the place as `$.path`; how its texts are written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import isfinite
from typing import Any, Final

import msgspec

from raydo.pipelining.errors import InvalidEvent
from raydo.pipelining.limits import EVENT_DEPTH_MAX, EVENT_NAME_BYTES_MAX

_MARKS: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[][{}]')  # whole strings, to step over brackets
_TEXT: Final = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"')
_STEP: Final = {"{": 1, "[": 1, "}": -1, "]": -1}


def check_text(text: str, path: str, bytes_max: int) -> None:
    if len(text.encode()) > bytes_max:
        raise refused(path, f"longer than {bytes_max} bytes")
    if "\0" in text:
        raise refused(path, "holds a NUL character")


def check_name(name: str | None) -> None:
    if not name or name.isspace():
        raise refused("$.event", "every event has a name")
    check_text(name, "$.event", EVENT_NAME_BYTES_MAX)


def check_depth(text: str, path: str) -> None:
    if text.count("{") + text.count("[") <= EVENT_DEPTH_MAX:
        return
    depth = 0
    for mark in _MARKS.findall(text):
        depth += _STEP.get(mark, 0)
        if depth > EVENT_DEPTH_MAX:
            raise refused(path, f"nested deeper than {EVENT_DEPTH_MAX} levels")


def plain_texts(text: str) -> str:
    """Write the names and texts in an object's JSON without escapes that they don't need.

    Many clients escape whatever is not ASCII. A path of SQLite finds a name only as it is written,
    and a list or object is compared as it is written, wherever it is kept.
    """
    return _TEXT.sub(_plain, text)


def _plain(found: re.Match[str]) -> str:
    text = found[0]
    return msgspec.json.encode(msgspec.json.decode(text)).decode() if "\\" in text else text


def refuse_non_finite(item: Mapping[str, Any]) -> None:
    waiting: list[tuple[str, Any]] = [("$", item)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, float) and not isfinite(value):
            raise refused(path, f"{value} is no number of JSON")
        if isinstance(value, Mapping):
            waiting += [(f"{path}.{key}", inner) for key, inner in value.items()]
        elif isinstance(value, list | tuple):
            waiting += [(f"{path}[{index}]", inner) for index, inner in enumerate(value)]


def refused(path: str, reason: str) -> InvalidEvent:
    return InvalidEvent(f"`{path}`: {reason}.", detail={"path": path})


def invalid(error: Exception, path: str) -> InvalidEvent:
    """Turn a decoder's error into ours, with the path as seen from the whole event."""
    if isinstance(error, RecursionError):
        return refused(path, f"nested deeper than {EVENT_DEPTH_MAX} levels")
    reason, _, inner = str(error).partition(" - at `$")
    if not isinstance(error, msgspec.ValidationError):
        reason = f"this is no JSON ({reason[:1].lower()}{reason[1:]})"
    return refused(path + inner.rstrip("`"), reason)
