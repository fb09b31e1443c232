from __future__ import annotations

import pytest

from raydo.actors.breaker import Breaker
from raydo.pipelining.errors import Confined
from raydo.pipelining.limits import CONFINED_S, OFFENCES_MAX, OFFENCES_WITHIN_S
from raydo.pipelining.noun import Noun

ACME = Noun("Analytics", "acme")


def test_an_object_rests_after_its_third_offence_and_says_why_and_for_how_long() -> None:
    breaker = Breaker()
    for number in range(OFFENCES_MAX):
        breaker.check(ACME, number * 1_000)
        breaker.offended(ACME, "a turn ran for 30 s", number * 1_000)

    with pytest.raises(Confined, match="ran for 30 s") as told:
        breaker.check(ACME, 12_000)
    assert told.value.retryable
    assert told.value.retry_after_s == CONFINED_S - 10
    breaker.check(Noun("Analytics", "other"), 12_000)
    breaker.check(ACME, 2_000 + round(CONFINED_S * 1000))
    breaker.offended(ACME, "again", 10_000_000)
    breaker.check(ACME, 10_000_000)  # it begins anew


def test_rare_offences_confine_nobody() -> None:
    breaker = Breaker()
    apart_ms = round(min(OFFENCES_WITHIN_S, CONFINED_S) * 1000 * 0.9)
    for number in range(5):
        breaker.offended(ACME, "x", number * round(OFFENCES_WITHIN_S * 600))
        breaker.check(ACME, number * round(OFFENCES_WITHIN_S * 600) + apart_ms)
