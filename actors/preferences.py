"""What a tenant decides about itself: its zone, its week, how long it keeps events, its bounds.

Each preference has a check that gives the value as it is kept, and a value that holds until one is
set. They are facts of the object (`Meta`), so they change with the call that changes them, are in
memory, and cost no disk access to read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict
from urllib.parse import urlsplit

from raydo.actors.zone import zone as find_zone
from raydo.pipelining.errors import InvalidArgument
from raydo.pipelining.limits import ORIGINS_MAX, QUOTA_EVENTS_MAX, RETENTION_MONTHS_MAX

if TYPE_CHECKING:
    from raydo.actors.state import State

_FACT: Final = "setting:"


class Preferences(TypedDict):
    """A tenant's preferences; None where nothing is bounded."""

    zone: str  # IANA; its days begin by these clocks
    week_start: Literal["monday", "sunday"]
    retention_months: int | None  # events older than that are deleted
    events_per_second: int | None  # quotas
    events_per_month: int | None
    origins: list[str]  # of the web pages that may send events


class Wishes(TypedDict, total=False):
    """The preferences to change; None goes back to what holds by itself."""

    zone: str | None
    week_start: Literal["monday", "sunday"] | None
    retention_months: int | None
    events_per_second: int | None
    events_per_month: int | None
    origins: list[str] | None


def preferences(state: State) -> Preferences:
    """Tell a tenant's preferences."""
    kept = {
        name.removeprefix(_FACT): json.loads(str(value))
        for name, value in state.meta.named(_FACT).items()
    }
    return {
        "zone": state.zone,
        "week_start": kept.get("week_start", "monday"),
        "retention_months": kept.get("retention_months"),
        "events_per_second": kept.get("events_per_second"),
        "events_per_month": kept.get("events_per_month"),
        "origins": kept.get("origins", []),
    }


def preference(state: State, name: str) -> Any:
    """Tell one preference other than the zone; None until it is set."""
    kept = state.meta.get(_FACT + name)
    return None if kept is None else json.loads(str(kept))


def prefer(state: State, changes: Mapping[str, Any]) -> None:
    """Change some preferences, all of them or none; null goes back to what holds by itself.

    Raises:
        InvalidArgument: there is no such preference, or it cannot be so.
    """
    for name in changes:
        if name not in _CHECKS:
            raise InvalidArgument(
                f"There is no setting {name!r:.40}; there are {', '.join(_CHECKS)}."
            )
    checked = {
        name: None if value is None else _CHECKS[name](name, value)
        for name, value in changes.items()
    }
    for name, value in checked.items():
        if name == "zone":
            state.zone = value or find_zone("UTC").key
        else:
            state.meta.set(_FACT + name, None if value is None else json.dumps(value))


def _zone(_name: str, value: object) -> str:
    return find_zone(str(value)).key


def _week_start(name: str, value: object) -> str:
    if value not in {"monday", "sunday"}:
        raise InvalidArgument(f"{name} is monday or sunday, not {value!r:.40}.")
    return str(value)


def _whole(most: int) -> Callable[[str, object], int]:
    def check(name: str, value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= most:
            raise InvalidArgument(
                f"{name} is a whole number from 1 to {most:,}, not {value!r:.40}."
            )
        return value

    return check


def check_origins(name: str, value: object) -> list[str]:
    """Spell a list of origins as browsers send them.

    Raises:
        InvalidArgument: it is none.
    """
    if not isinstance(value, list) or len(value) > ORIGINS_MAX:
        raise InvalidArgument(f"{name} is a list of at most {ORIGINS_MAX} origins.")
    return [_origin(str(each)) for each in value]


def _origin(text: str) -> str:
    """Spell an origin as browsers send it (https://html.spec.whatwg.org/#ascii-serialisation-of-an-origin)."""
    try:
        parts = urlsplit(text)
        port, host = parts.port, parts.hostname
    except ValueError:
        raise InvalidArgument(f"{text!r:.80} is no origin.") from None
    rest = parts.path.strip("/") or parts.query or parts.fragment or parts.username
    if parts.scheme not in _PORTS or not host or rest or not host.isascii():
        raise InvalidArgument(f"An origin is https://HOST or http://HOST[:PORT], not {text!r:.80}.")
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}" + (
        "" if port in {None, _PORTS[parts.scheme]} else f":{port}"
    )


_PORTS: Final = {"http": 80, "https": 443}
_CHECKS: Final[Mapping[str, Callable[[str, object], Any]]] = {
    "zone": _zone,
    "week_start": _week_start,
    "retention_months": _whole(RETENTION_MONTHS_MAX),
    "events_per_second": _whole(QUOTA_EVENTS_MAX),
    "events_per_month": _whole(QUOTA_EVENTS_MAX),
    "origins": check_origins,
}
