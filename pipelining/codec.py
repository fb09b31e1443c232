"""Values to bytes and back: msgpack with the types that callers use, and a bound on everything.

Plain data travels: None, bool, int of any size, float, str, bytes, list (tuples become lists), dict
with str or int keys, aware datetime, date. Anything else is refused where it was given, with the
type and the path to it, because a value that changes on its way is worse than an error.

A reference to an earlier instruction is a msgpack extension type of its own, so no list or dict
that a user sends can be taken for one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime
from typing import Any, ClassVar, Final

import msgpack

from raydo.pipelining.errors import InvalidArgument, TooLarge
from raydo.pipelining.limits import (
    ARGUMENTS_BYTES_MAX,
    FRAME_BYTES_MAX,
    FRAME_DEPTH_MAX,
    FRAME_ITEMS_MAX,
)

EXT_REF: Final = 1
EXT_DATETIME: Final = 2
EXT_DATE: Final = 3
EXT_BIG_INT: Final = 4

CODERS_MAX: Final = 16  # idle encoders; more threads than that make their own
CODER_BYTES_MAX: Final = 1 << 20  # an encoder that grew beyond this is not kept

_SCALARS: Final = frozenset({str, int, float, bool, type(None), bytes, datetime, date})
_CONTAINERS: Final = (dict, list, tuple)
_PLAIN: Final = (str, int, float, type(None), bytes, bytearray, memoryview)


class Ref:
    """Stand for the value of an earlier instruction inside the arguments of a later one."""

    __slots__ = ("index",)
    __hash__: ClassVar[None]  # type: ignore[assignment]  # a reference is never a dict's key

    def __init__(self, index: int) -> None:
        self.index = index

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ref) and other.index == self.index

    def __repr__(self) -> str:
        return f"Ref({self.index})"


StandIn = Callable[[object], Ref | None]


class _Refused(TypeError):
    """Leave the encoder at a value that does not travel."""


class _Coder:
    """One reusable encoder: making a fresh one a call would double the cost of a small cast."""

    __slots__ = ("packer", "stand_in")

    def __init__(self) -> None:
        self.stand_in: StandIn | None = None
        self.packer = msgpack.Packer(default=self._default)

    def _default(self, value: object) -> Any:
        if self.stand_in is not None:
            ref = self.stand_in(value)
            if ref is not None:
                return _ref_ext(ref)
        return _extension(value)


_idle: Final[list[_Coder]] = []


def _ref_ext(ref: Ref) -> msgpack.ExtType:
    return msgpack.ExtType(EXT_REF, msgpack.packb(ref.index))


def _extension(value: object) -> msgpack.ExtType:
    if isinstance(value, datetime):
        if value.utcoffset() is None:
            raise _Refused
        return msgpack.ExtType(EXT_DATETIME, value.isoformat().encode())
    if isinstance(value, date):
        return msgpack.ExtType(EXT_DATE, value.isoformat().encode())
    if isinstance(value, Ref):
        return _ref_ext(value)
    if isinstance(value, int):
        return msgpack.ExtType(EXT_BIG_INT, str(int(value)).encode())
    raise _Refused


def pack(value: Any, stand_in: StandIn | None = None) -> bytes:
    """Encode a value; `stand_in` may give a reference for objects that do not travel themselves.

    Raises:
        InvalidArgument: some value inside does not travel; the sentence names its type and path.
        TooLarge: nested too deep, or longer than a frame.
    """
    data = _encode(value, stand_in)
    if type(value) not in _SCALARS and isinstance(value, _CONTAINERS):
        _check(value, FRAME_DEPTH_MAX)
    return data


def pack_arguments(
    args: tuple[Any, ...], kwargs: dict[str, Any], stand_in: StandIn | None = None
) -> bytes:
    """Encode the two last items of a CALL; made for every cast, so it takes the short ways.

    Raises:
        InvalidArgument, TooLarge: as `pack`.
    """
    data = _encode(args, stand_in)
    for item in args:
        if type(item) not in _SCALARS and isinstance(item, _CONTAINERS):
            _check(item, FRAME_DEPTH_MAX - 2)
    data += pack(kwargs, stand_in) if kwargs else b"\x80"
    if len(data) > ARGUMENTS_BYTES_MAX:
        raise TooLarge(f"Arguments have at most {ARGUMENTS_BYTES_MAX:,} bytes, not {len(data):,}.")
    return data


def _encode(value: Any, stand_in: StandIn | None) -> bytes:
    coder = _idle.pop() if _idle else _Coder()
    coder.stand_in = stand_in
    try:
        data: bytes = coder.packer.pack(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise _complaint(value, stand_in, error) from None
    if len(data) < CODER_BYTES_MAX:
        if len(_idle) < CODERS_MAX:
            _idle.append(coder)
    elif len(data) > FRAME_BYTES_MAX:
        raise TooLarge(f"A value of {len(data):,} bytes is over the limit of {FRAME_BYTES_MAX:,}.")
    return data


def _check(value: Any, depth: int) -> None:
    """Refuse what the receiver would refuse, so that it fails here and not for a whole frame."""
    if depth <= 0:
        raise TooLarge(f"A value is nested deeper than {FRAME_DEPTH_MAX} levels.")
    if len(value) > FRAME_ITEMS_MAX:
        raise TooLarge(
            f"A list or dict has {len(value):,} items; the limit is {FRAME_ITEMS_MAX:,}."
        )
    if isinstance(value, dict):
        try:
            "".join(value)  # all keys are text: checked at the speed of C
        except TypeError:
            _check_keys(value)
        value = value.values()
    for item in value:
        if type(item) not in _SCALARS and isinstance(item, _CONTAINERS):
            _check(item, depth - 1)


def _check_keys(value: dict[Any, Any]) -> None:
    for key in value:
        if not isinstance(key, (str, int)) or isinstance(key, bool):
            raise InvalidArgument(
                f"A dict's key is str or int, not {type(key).__name__} ({key!r:.60})."
            )


def _complaint(value: Any, stand_in: StandIn | None, error: Exception) -> InvalidArgument:
    found = _find(value, "$", stand_in, FRAME_DEPTH_MAX)
    if found is None:
        return InvalidArgument(f"A value is not serialisable: {error}")
    path, culprit = found
    if isinstance(culprit, datetime):
        why = "is a datetime without a time zone; give it one, such as datetime.now(UTC)"
    elif isinstance(culprit, str):
        why = "is text with a lone surrogate, which is not valid Unicode"
    else:
        why = f"is a {type(culprit).__qualname__}, which is not serialisable; send plain data"
    return InvalidArgument(f"{path} {why}.", detail={"path": path})


def _find(value: Any, path: str, stand_in: StandIn | None, depth: int) -> tuple[str, Any] | None:
    """Find the first value that does not travel, and the path to it."""
    if depth == 0:
        return path, value
    if isinstance(value, dict):
        steps = [(f"{path}.{key}", item) for key, item in value.items()]
    elif isinstance(value, (list, tuple)):
        steps = [(f"{path}[{index}]", item) for index, item in enumerate(value)]
    else:
        return None if _travels(value, stand_in) else (path, value)
    for step, item in steps:
        if found := _find(item, step, stand_in, depth - 1):
            return found
    return None


def _travels(value: Any, stand_in: StandIn | None) -> bool:
    if stand_in is not None and not isinstance(value, _PLAIN) and stand_in(value) is not None:
        return True
    try:
        msgpack.packb(value, default=_extension)
    except (TypeError, ValueError, OverflowError):
        return False
    return True


def unpack(data: bytes, *, bytes_max: int = FRAME_BYTES_MAX) -> Any:
    """Decode one value that holds no references.

    Raises:
        InvalidArgument: not such a value.
        TooLarge: over `bytes_max`, or over a limit of depth or length.
    """
    value = _unpack(data, _value_ext, bytes_max)
    check_depth(value)
    return value


def unpack_with_refs(data: bytes) -> tuple[Any, list[Ref]]:
    """Decode one value, and list the references that stand in it; its depth is not checked.

    Raises:
        InvalidArgument, TooLarge: as `unpack`.
    """
    refs: list[Ref] = []

    def ext(code: int, body: bytes) -> Any:
        if code != EXT_REF:
            return _value_ext(code, body)
        index = msgpack.unpackb(body)
        if type(index) is not int:
            raise ValueError("a reference holds an index")
        refs.append(Ref(index))
        return refs[-1]

    return _unpack(data, ext, FRAME_BYTES_MAX), refs


def renumber(data: bytes, indexes: Sequence[int]) -> bytes:
    """Encode a value again with each reference `k` in it replaced by a reference `indexes[k]`."""
    value, refs = unpack_with_refs(data)
    for ref in refs:
        ref.index = indexes[ref.index]
    return pack(value)


def _unpack(data: bytes, ext: Callable[[int, bytes], Any], bytes_max: int) -> Any:
    if len(data) > bytes_max:
        raise TooLarge(f"A message of {len(data):,} bytes is over the limit of {bytes_max:,}.")
    try:
        value = msgpack.unpackb(
            data,
            ext_hook=ext,
            strict_map_key=False,
            timestamp=3,
            max_array_len=FRAME_ITEMS_MAX,
            max_map_len=FRAME_ITEMS_MAX,
        )
    except (ValueError, TypeError, OverflowError, msgpack.UnpackException) as error:
        raise InvalidArgument(f"The message is not valid msgpack of ours: {error}") from None
    return value


def check_depth(value: Any, depth: int = FRAME_DEPTH_MAX) -> None:
    """Refuse a decoded value that is nested deeper than `depth`.

    Raises:
        TooLarge: it is.
    """
    if type(value) is dict:
        value = value.values()
    elif type(value) is not list:
        return
    if depth == 0:
        raise TooLarge(f"A value is nested deeper than {FRAME_DEPTH_MAX} levels.")
    for item in value:
        if type(item) is list or type(item) is dict:
            check_depth(item, depth - 1)


def _value_ext(code: int, body: bytes) -> Any:
    text = body.decode("ascii")
    if code == EXT_DATETIME:
        moment = datetime.fromisoformat(text)
        if moment.utcoffset() is None:
            raise ValueError("a datetime without a time zone")
        return moment
    if code == EXT_DATE:
        return date.fromisoformat(text)
    if code == EXT_BIG_INT:
        return int(text)
    raise ValueError(f"extension type {code} is not known here")
