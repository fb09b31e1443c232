"""Quotas: exact, whole batches, and told in a way that a client can act on."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from raydo.actors.analytics import Analytics
from raydo.pipelining.errors import QuotaExceeded
from raydo.pipelining.limits import QUOTA_BURST_S

if TYPE_CHECKING:
    from conftest import Live, MakeLive


def send(live: Live, *ids: int, **more: Any) -> Any:
    items = [json.dumps({"event": "a", "messageId": f"m{each}"}).encode() for each in ids]
    return live.call("ingest", items, **more)


@pytest.fixture
def acme(live: MakeLive) -> Live:
    return live(Analytics)


def test_a_months_events_are_counted_exactly_and_the_next_month_begins_anew(acme: Live) -> None:
    acme.call("set_settings", events_per_month=5)
    assert send(acme, 1, 2, 3)["quota"]["remaining"] == 2
    with pytest.raises(QuotaExceeded, match="5 events a month") as refusal:
        send(acme, 4, 5, 6)
    quota = refusal.value.detail
    assert (quota["quota"], quota["limit"], quota["remaining"]) == ("events_per_month", 5, 2)
    assert refusal.value.retry_after_s == (quota["reset_ms"] - acme.clock.now_ms()) / 1_000

    assert send(acme, 4, 5)["accepted"] == 2
    acme.clock.advance(seconds=refusal.value.retry_after_s or 0)
    assert send(acme, 6)["quota"]["remaining"] == 4


def test_what_was_sent_before_takes_no_room(acme: Live) -> None:
    acme.call("set_settings", events_per_month=3)
    send(acme, 1, 2)
    for _ in range(3):
        told = send(acme, 1, 2)
        assert (told["duplicates"], told["quota"]["remaining"]) == (2, 1)
    assert send(acme, 1, 2, 3)["accepted"] == 1


def test_a_refused_batch_leaves_nothing_behind_and_may_come_again(acme: Live) -> None:
    acme.call("set_settings", events_per_month=2)
    with pytest.raises(QuotaExceeded):
        send(acme, 1, 2, 3)
    assert acme.call("stats")["events"] == {}
    acme.call("set_settings", events_per_month=3)
    assert send(acme, 1, 2, 3)["accepted"] == 3


def test_quotas_are_exact_after_a_crash(acme: Live) -> None:
    acme.call("set_settings", events_per_month=3, events_per_second=1)
    send(acme, 1, 2)
    acme.crash()
    with pytest.raises(QuotaExceeded):
        send(acme, 3, 4)
    assert send(acme, 3)["accepted"] == 1


def test_a_burst_passes_and_then_the_rate_holds(acme: Live) -> None:
    acme.call("set_settings", events_per_second=2)
    burst = 2 * QUOTA_BURST_S
    assert send(acme, *range(burst))["quota"]["remaining"] == 0
    with pytest.raises(QuotaExceeded, match="2 events a second") as refusal:
        send(acme, 100)
    assert refusal.value.retry_after_s == 0.5
    taken = burst
    for number in range(200, 240):
        acme.clock.advance(seconds=0.25)
        with suppress(QuotaExceeded):
            taken += send(acme, number)["accepted"]
    assert taken == burst + 20


def test_a_batch_over_the_burst_waits_for_a_full_bucket_and_owes_the_rest(acme: Live) -> None:
    acme.call("set_settings", events_per_second=1)
    send(acme, 0)
    with pytest.raises(QuotaExceeded) as refusal:
        send(acme, *range(1, 31))
    assert refusal.value.retry_after_s == 1.0
    acme.clock.advance(seconds=1)
    assert send(acme, *range(1, 31))["accepted"] == 30
    with pytest.raises(QuotaExceeded) as refusal:
        send(acme, 99)
    assert refusal.value.retry_after_s == 21.0


def test_a_lowered_quota_still_takes_what_is_not_new(acme: Live) -> None:
    send(acme, 1, 2, 3)
    acme.call("set_settings", events_per_month=4, events_per_second=1)
    send(acme, 4, 5)
    acme.call("set_settings", events_per_month=1)
    assert send(acme, 1, 4)["duplicates"] == 2


def test_imports_and_tenants_without_quotas_are_not_counted(acme: Live) -> None:
    assert "quota" not in send(acme, 1)
    acme.call("set_settings", events_per_month=1)
    assert send(acme, 2, 3, historical=True)["accepted"] == 2
    assert acme.call("track", "a")
    with pytest.raises(QuotaExceeded):
        acme.call("track", "a")


async def test_a_client_is_told_what_the_quota_is_and_when_to_come_again(
    gateway: httpx.AsyncClient,
) -> None:
    wanted = {"events_per_second": 1, "events_per_month": 1_000}
    assert (await gateway.patch("/settings", json=wanted)).status_code == 200
    call = {"type": "track", "event": "a", "userId": "u"}
    reply = await gateway.post("/v1/batch", json={"batch": [call] * 10})
    assert reply.status_code == 200
    assert reply.headers["x-ratelimit-limit"] == "1"
    assert reply.headers["x-ratelimit-remaining"] == "0"

    for path, body in (("/v1/batch", {"batch": [call]}), ("/track", {"event": "a"})):
        reply = await gateway.post(path, json=body)
        told = reply.json()
        assert (reply.status_code, told["code"], told["status"]) == (429, "quota_exceeded", 0)
        assert told["detail"]["quota"] == "events_per_second"
        assert 1 <= int(reply.headers["retry-after"]) <= 2
        assert reply.headers["x-ratelimit-limit"] == "1"
        assert int(reply.headers["x-ratelimit-reset"]) > 1_700_000_000
