"""What the model is made of: calls and frames, what is answered, and values known only once seen."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

GAP: Final = "gap"
KNOWN: Final = "known"
REPLY: Final = "reply"


class Call(NamedTuple):
    """One call of a frame; who awaits it hears its value or its error."""

    name: str
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}  # noqa: RUF012 - nobody changes it
    wanted: bool = True

    def __repr__(self) -> str:
        args = [repr(arg) for arg in self.args]
        args += [f"{name}={value!r}" for name, value in self.kwargs.items()]
        return f"{'' if self.wanted else '!'}{self.name}({', '.join(args)})"


class Frame(NamedTuple):
    """One numbered program of one client session."""

    session: bytes
    n: int
    acked: int
    calls: tuple[Call, ...]

    def __repr__(self) -> str:
        return f"<{self.session[-1:].decode()}.{self.n} ({self.acked}) {list(self.calls)}>"


class Answer(NamedTuple):
    """What must be answered: `GAP` with a number, `KNOWN`, or `REPLY` with results and failures."""

    kind: str
    payload: Any = None
    calls: tuple[Call, ...] = ()  # that it answers: a number that comes again may be of others


class CallFailed(Exception):
    """The call fails with this code, and leaves nothing behind."""


class Made:
    """An id or a seq that raydo chooses: unknown until it was seen, and the same ever after."""

    __slots__ = ("value",)
    __hash__ = None  # type: ignore[assignment]

    def __init__(self) -> None:
        self.value: Any = None

    def __eq__(self, other: object) -> bool:
        return self.value is not None and bool(self.value == other)

    def __repr__(self) -> str:
        return f"<made {self.value}>"


class Anything:
    """Stands where no particular value is promised."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return True

    def __repr__(self) -> str:
        return "<anything>"


ANYTHING: Final = Anything()


@dataclass(slots=True, eq=False)
class Event:
    id: str | Made
    event: str
    user_id: str | None
    anonymous_id: str | None
    timestamp: int
    received_at: int
    properties: str
    context: str | None
    flags: int
    stream: str = ""
    seq: Made = field(default_factory=Made)

    def row(self) -> list[Any]:
        whose = (self.user_id, self.anonymous_id, self.timestamp, self.received_at)
        what = (self.properties, self.context, self.stream, self.flags)
        return [self.seq, self.id, self.event, *whose, *what]


@dataclass(slots=True)
class Session:
    last: int = 0
    acked: int = 0


@dataclass(slots=True, eq=False)
class Timer:
    """A timer; until it was seen on disk, `next_at` is one of several moments."""

    name: str
    spec: str
    zone: str
    next_at: int | None  # None while it rests
    candidates: Collection[int] = ()

    def row(self) -> list[Any]:
        return [self.name, self.spec, self.zone, self.next_at, None, 0, None]
