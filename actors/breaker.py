"""Objects whose turns had to be ended by force: after a few, they rest."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from raydo.pipelining.errors import Confined
from raydo.pipelining.limits import CONFINED_S, OFFENCES_MAX, OFFENCES_WITHIN_S
from raydo.pipelining.noun import Noun


class _Offence(NamedTuple):
    at_ms: int
    reason: str


class Breaker:
    """Count offences, and refuse objects with too many."""

    def __init__(self) -> None:
        self._offences: dict[Noun, deque[_Offence]] = {}

    def offended(self, noun: Noun, reason: str, now_ms: int) -> None:
        """Note that a turn of the object was ended by force."""
        offences = self._offences.setdefault(noun, deque(maxlen=OFFENCES_MAX))
        offences.append(_Offence(now_ms, reason))

    def check(self, noun: Noun, now_ms: int) -> None:
        """Let an object pass that does not rest.

        Raises:
            Confined: it rests; the sentence has the reason.
        """
        offences = self._offences.get(noun)
        if offences is None:
            return
        first, last = offences[0], offences[-1]
        rests_ms = last.at_ms + CONFINED_S * 1000 - now_ms
        if rests_ms <= 0:
            del self._offences[noun]
        elif len(offences) == OFFENCES_MAX and last.at_ms - first.at_ms < OFFENCES_WITHIN_S * 1000:
            raise Confined(
                f"{noun} was stopped {OFFENCES_MAX} times, at last because {last.reason}; it rests"
                f" for another {rests_ms / 1000:.0f} s.",
                retry_after_s=rests_ms / 1000,
            )
