"""Errors on their way to JavaScript: a class that `instanceof` knows, the sentence, and our code.

    ["error", "TypeError", "Analytics has no method 'nope'; …", null, {"code": "unknown_method", …}]

What an object's own code raised keeps its sentence, never its traceback. What is a fault of ours
says nothing of its inside.
"""

from __future__ import annotations

import logging
from typing import Any, Final

from raydo.pipelining.capnweb.values import PeerError
from raydo.pipelining.errors import (
    BadDeclaration,
    InvalidArgument,
    PromiseMisused,
    RaydoError,
    TooLarge,
    UnknownMethod,
)

logger: Final = logging.getLogger("raydo")

NAMES: Final = frozenset(
    {
        "Error",
        "EvalError",
        "RangeError",
        "ReferenceError",
        "SyntaxError",
        "TypeError",
        "URIError",
        "AggregateError",
    }
)
_TYPE_ERRORS: Final = (InvalidArgument, UnknownMethod, PromiseMisused, BadDeclaration)
_HERE: Final = "The server failed on this call; its log has the details."


def describe(error: BaseException) -> tuple[str, str, dict[str, Any]]:
    """Give an error's name in JavaScript, its sentence, and its other properties."""
    if isinstance(error, PeerError):
        return error.name if error.name in NAMES else "Error", error.message, error.props
    if not isinstance(error, RaydoError):
        return "Error", _HERE, {"code": RaydoError.code, "retryable": False}
    props: dict[str, Any] = {"code": error.code, "retryable": error.retryable}
    if error.detail is not None:
        props["detail"] = error.detail
    if error.retry_after_s is not None:
        props["retryAfter"] = error.retry_after_s
    return _name(error), error.message, props


def _name(error: RaydoError) -> str:
    if isinstance(error, _TYPE_ERRORS):
        return "TypeError"
    return "RangeError" if isinstance(error, TooLarge) else "Error"


def presentable(error: BaseException, where: str) -> BaseException:
    """Keep an error that may be told; log any other, which becomes a failure of ours."""
    if isinstance(error, (RaydoError, PeerError)):
        return error.with_traceback(None)  # its frames would keep a call's arguments alive
    logger.error("%s failed", where, exc_info=error)
    return RaydoError(_HERE, detail={"type": type(error).__name__})


def not_a_function(path: list[str | int]) -> PeerError:
    """Say what JavaScript says of a call on what cannot be called."""
    name = ".".join(map(str, path))
    return PeerError("TypeError", f"'{name:.200}' is not a function.")
