"""The bill: what a tenant used is in its own folder, and adds up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from raydo.actors.analytics import Analytics
from raydo.actors.costs import Prices, costs, read_prices
from raydo.actors.ledger import month_of
from raydo.actors.world import World
from raydo.gateway.app import create_app
from raydo.pipelining.errors import InvalidArgument

ROOT = Path(__file__).parent.parent


def bill(world: World, **options: Any) -> dict[str, Any]:
    found = costs(world.data, month_of(world.now_ms), Prices(), **options)["tenants"]
    return {each["tenant"]: each for each in found}


def test_events_are_booked_once_whatever_crashes(tmp_path: Path) -> None:
    with World(tmp_path) as world:
        acme = world.stub(Analytics, "acme")
        for n in range(5):
            world.wait(acme.track("A", messageId=f"m{n}"))
        world.wait(acme.ingest([b'{"event":"A","messageId":"m1"}', b"{}"]))
        world.crash()
        world.wait(acme.track("B"))
        world._in_loop(world.residents.drain_now())
        used = bill(world)["acme"]["used"]
    assert used["events"] == 6
    assert used["log_bytes"] > 0
    assert used["syncs"] >= 1
    assert used["cpu_s"] > 0


def test_a_month_begins_with_nothing_and_the_one_before_stays(tmp_path: Path) -> None:
    with World(tmp_path) as world:
        before = month_of(world.now_ms)
        acme = world.stub(Analytics, "acme")
        world.wait(acme.track("A"))
        world.advance(days=40)
        world.wait(acme.track("B"))
        world.wait(acme.track("C"))
        world._in_loop(world.residents.drain_now())
        assert bill(world)["acme"]["used"]["events"] == 2
        [old] = costs(world.data, before, Prices())["tenants"]
        assert old["used"]["events"] == 1


def test_the_whole_machine_used_costs_the_whole_machine() -> None:
    prices = Prices(month_usd=10, cores=2, disk_gb=50)
    assert prices.cpu_usd(2 * 30 * 86_400, 30) + prices.disk_usd(50 * 10**9) == pytest.approx(10)


def test_storage_is_told_by_layer(tmp_path: Path) -> None:
    with World(tmp_path) as world:
        world.wait(world.stub(Analytics, "acme").track("A"))
        storage = bill(world)["acme"]["storage"]
    assert storage["L1"] > 0
    assert storage["L2"] > 50_000
    assert storage["L3"] == 0


async def test_the_gateway_tells_the_dearest_first(backend: Any, tmp_path: Path) -> None:
    app = create_app(backend, data=tmp_path / "data")
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        for tenant, count in (("small", 1), ("large", 50)):
            batch = [{"event": "A", "properties": {"text": "x" * 1_000}}] * count
            await client.post(f"/track/batch?tenant={tenant}", json=batch)
        await client.post("/admin/drain", json={})
        told = (await client.get("/admin/costs")).json()
        assert told["tenants"][0]["tenant"] == "large"
        assert told["usd"] + told["idle_usd"] == pytest.approx(5)
        one = (await client.get("/admin/costs?tenant=small")).json()["tenants"]
        assert [each["used"]["events"] for each in one] == [1]
        assert (await client.get("/admin/costs?month=2026-13")).status_code == 400


def test_the_table_of_prices_in_deploy_is_the_one_by_default(tmp_path: Path) -> None:
    given = read_prices(ROOT / "deploy" / "prices.json")
    assert (given.month_usd, given.cores, given.disk_gb, given.cpu_share) == (5, 1, 25, 0.5)
    path = tmp_path / "prices.json"
    path.write_text(json.dumps({"month_usd": -1}))
    with pytest.raises(InvalidArgument):
        read_prices(path)
