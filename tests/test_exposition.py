"""What Prometheus sees: every promise of the alert rules stands on a figure from here."""

from __future__ import annotations

import asyncio
import shutil
from math import inf
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from raydo.actors.figures import COUNTERS, Totals
from raydo.actors.histogram import SYNC_BOUNDS_S, quantile
from raydo.gateway.app import create_app
from raydo.gateway.disk_days import DiskDays


async def scraped(client: httpx.AsyncClient) -> dict[tuple[str, ...], float]:
    reply = await client.get("/metrics")
    assert reply.status_code == 200
    assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {
        (sample.name, *(f"{name}={value}" for name, value in sorted(sample.labels.items()))): (
            sample.value
        )
        for family in text_string_to_metric_families(reply.text)
        for sample in family.samples
    }


async def test_events_are_counted_by_what_became_of_them(gateway: httpx.AsyncClient) -> None:
    batch: list[Any] = [{"event": "A", "messageId": "m1"}, {"event": "A", "messageId": "m1"}, {}]
    await gateway.post("/track/batch", json=batch)
    seen = await scraped(gateway)
    assert seen["raydo_events_accepted_total",] == 1
    assert seen["raydo_events_duplicate_total",] == 1
    assert seen["raydo_events_rejected_total",] == 1
    assert seen["raydo_tenants_awake",] == 1
    assert seen["raydo_fsync_seconds_count",] >= 1
    assert seen["raydo_fsync_p99_seconds",] > 0
    assert seen["raydo_hosts_answered",] == 1
    assert seen["raydo_turn_cpu_seconds_total",] > 0


async def test_requests_are_counted_by_route_and_never_by_path(gateway: httpx.AsyncClient) -> None:
    await gateway.get("/stats")
    await gateway.get("/no/such/acme")
    await gateway.request("DELETE", "/admin/keys/k1?tenant=acme")
    seen = await scraped(gateway)
    count = "raydo_http_requests_total"
    assert seen[count, "method=GET", "route=/stats", "status=200"] == 1
    assert seen[count, "method=GET", "route=(none)", "status=404"] == 1
    route = "route=/admin/keys/{key_id}"
    assert sum(value for key, value in seen.items() if route in key and key[0] == count) == 1
    assert seen["raydo_http_request_seconds_count", "route=/stats"] == 1
    assert not any("acme" in label for key in seen for label in key)


async def test_what_is_in_the_log_only_is_a_lag_and_a_drain_ends_it(
    gateway: httpx.AsyncClient, backend: Any
) -> None:
    await gateway.post("/track", json={"event": "A"})
    await asyncio.sleep(0.01)
    before = await scraped(gateway)
    assert before["raydo_undrained_events",] == 1
    assert before["raydo_drain_lag_seconds",] > 0
    assert (await gateway.post("/admin/drain", json={})).json()["failed"] == []
    after = await scraped(gateway)
    assert after["raydo_undrained_events",] == after["raydo_drain_lag_seconds",] == 0


async def test_a_folder_tells_its_disk_and_backups_only_when_there_are_any(
    backend: Any, tmp_path: Path
) -> None:
    transport = httpx.ASGITransport(create_app(backend, data=tmp_path / "data"))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        seen = await scraped(client)
    assert seen["raydo_disk_free_bytes",] == pytest.approx(
        shutil.disk_usage(tmp_path).free, rel=0.1
    )
    assert seen["raydo_disk_days_left",] == inf  # nothing is known yet
    assert ("raydo_backup_age_seconds",) not in seen


async def test_with_keys_only_the_servers_own_opens_it(keyed: Any) -> None:
    assert (await keyed.ask("GET", "/metrics")).status_code == 401
    assert (await keyed.ask("GET", "/metrics", await keyed.key("admin"))).status_code == 403
    assert (await keyed.ask("GET", "/metrics", await keyed.key("server"))).status_code == 200


async def test_a_request_keeps_its_callers_id_and_gets_one_otherwise(
    gateway: httpx.AsyncClient,
) -> None:
    given = await gateway.get("/stats", headers={"x-request-id": "shop-17"})
    assert given.headers["x-request-id"] == "shop-17"
    forged = await gateway.get("/stats", headers={"x-request-id": 'a"b\tc'})
    assert len(forged.headers["x-request-id"]) == 16


def test_sums_only_grow_while_hosts_come_and_go() -> None:
    def host(name: str, events: int) -> dict[str, Any]:
        rest = dict.fromkeys(COUNTERS, 0)
        counts = [events] + [0] * len(SYNC_BOUNDS_S)
        figures = {**rest, "events": events, "sync_counts": counts, "sync_sum_s": events * 0.1}
        return {"host": name, **figures}

    totals = Totals()
    totals.add([host("a", 5), host("b", 1)])
    totals.add([host("a", 7)])
    assert totals.sums["events"] == 8
    totals.add([host("c", 2)])
    assert totals.sums["events"] == 10
    assert totals.sync_counts[0] == 10


def test_a_quantile_is_the_bound_that_holds_it() -> None:
    assert quantile((1, 2, 5), [99, 0, 1, 0], 0.99) == 1
    assert quantile((1, 2, 5), [98, 0, 2, 0], 0.99) == 5
    assert quantile((1, 2, 5), [0, 0, 0, 1], 0.99) == 10
    assert quantile((1, 2, 5), [0, 0, 0, 0], 0.99) == 0


def test_a_disk_that_fills_by_a_tenth_a_day_has_ten_days() -> None:
    disk = DiskDays()
    assert disk.left(0, 100, 1_000) == inf
    assert disk.left(600, 101, 1_000) == inf  # too soon to tell
    assert disk.left(86_400 / 2, 150, 1_000) == pytest.approx(10)
    assert disk.left(86_400 * 3, 140, 1_000) == inf
