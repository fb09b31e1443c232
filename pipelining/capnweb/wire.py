"""Messages as text: JSON within bounds, both ways."""

from __future__ import annotations

import json
from typing import Any, Final

from raydo.pipelining.errors import InvalidArgument, TooLarge
from raydo.pipelining.limits import CAPNWEB_MESSAGE_CHARS_MAX, CAPNWEB_MESSAGE_VALUES_MAX


def decode(text: str) -> list[Any]:
    """Read one message; what it says is not looked at.

    Raises:
        InvalidArgument: not a JSON array that begins with a word.
        TooLarge: too long, too many values, or nested far too deep.
    """
    if len(text) > CAPNWEB_MESSAGE_CHARS_MAX:
        raise TooLarge(f"A message has at most {CAPNWEB_MESSAGE_CHARS_MAX:,} characters.")
    if len(text) > CAPNWEB_MESSAGE_VALUES_MAX and text.count(",") > CAPNWEB_MESSAGE_VALUES_MAX:
        raise TooLarge(f"A message has at most {CAPNWEB_MESSAGE_VALUES_MAX:,} values.")
    try:
        message = _decode(text)
    except RecursionError:
        raise TooLarge("The message is nested too deep.") from None
    except ValueError as error:
        raise InvalidArgument(f"A message is JSON; this is not: {error}") from None
    if not isinstance(message, list) or not message or not isinstance(message[0], str):
        raise InvalidArgument(f'A message is an array such as ["push", …], not {text:.100}')
    return message


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


_decode: Final = json.JSONDecoder(parse_constant=_refuse_constant).decode
_encode: Final = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":")
).encode


def encode(message: list[Any]) -> str:
    """Write one message, which the writer has made of JSON's own types."""
    text = _encode(message)
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate that came from JavaScript goes back as it came
        text = json.dumps(message, separators=(",", ":"))
    return text
