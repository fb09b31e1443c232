"""A damaged log: the tenant goes on and says so, until somebody accepts the loss."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from support.damage import damage_record

from raydo.actors.analytics import Analytics
from raydo.actors.runtime import serve_runtime
from raydo.actors.settings import Settings
from raydo.actors.world import World
from raydo.gateway.app import create_app
from raydo.gateway.backend import Backend
from raydo.gateway.command import main

LOST = "Second"


@pytest.fixture
def hurt(tmp_path: Path) -> Path:
    """A data folder whose tenant `acme` has lost the second of its three events."""
    data = tmp_path / "data"
    with World(data) as world:
        acme = world.stub(Analytics, "acme")
        for name in ("First", LOST, "Third"):
            world.wait(acme.track(name, {"userId": "u"}))
        world.crash()
    [folder] = (data / "Analytics").iterdir()
    damage_record(folder, LOST.encode())
    return data


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_a_tenant_whose_log_is_damaged_says_what_it_lost_and_goes_on(hurt: Path) -> None:
    with World(hurt) as world:
        acme = world.stub(Analytics, "acme")
        [loss] = world.wait(acme.degraded())
        assert (loss["first_seq"], loss["last_seq"], loss["lost_max"]) == (2, 2, 1)

        rows = world.wait(acme.query("SELECT seq, event FROM events ORDER BY seq"))["rows"]
        assert rows == [{"seq": 1, "event": "First"}, {"seq": 3, "event": "Third"}]
        world.wait(acme.track("Fourth"))
        world.crash()
        assert world.wait(acme.dau(1))[0]["events"] == 3
        assert world.wait(acme.degraded()) == [loss]


def test_repair_names_the_loss_and_accepts_it_only_when_told(
    hurt: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ("repair", "--tenant", "acme", "--data", str(hurt))
    for _ in range(2):
        assert run(*command) == 1
        assert "seq 2 to 2" in capsys.readouterr().out

    assert run(*command, "--accept-loss", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    [receipt] = told["receipts"]
    assert json.loads(Path(receipt).read_text())["damage"][0]["first_seq"] == 2

    assert run(*command) == 0
    with World(hurt) as world:
        acme = world.stub(Analytics, "acme")
        assert world.wait(acme.degraded()) == []
        assert world.wait(acme.dau(1))[0]["events"] == 2


def test_repair_starts_a_log_anew_that_ends_before_its_database(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with World(tmp_path) as world:
        acme = world.stub(Analytics, "acme")
        world.wait(acme.track("First"))
        kept = {path: path.read_bytes() for path in tmp_path.glob("*/*/*.seg")}
        for name in ("Second", "Third"):
            world.wait(acme.track(name))
        assert world.wait(acme.dau(1))[0]["events"] == 3  # drains
        world.crash()
    for path, content in kept.items():
        path.write_bytes(content)  # an old copy of the log beside a newer database
    command = ("repair", "--tenant", "acme", "--data", str(tmp_path))

    assert run("query", "SELECT 1", "--tenant", "acme", "--data", str(tmp_path)) == 2
    assert "raydo repair" in capsys.readouterr().err
    assert run(*command) == 1
    assert "seq 2 to 3" in capsys.readouterr().out
    assert run(*command, "--accept-loss") == 0

    with World(tmp_path) as world:
        acme = world.stub(Analytics, "acme")
        world.wait(acme.track("Fourth"))
        assert world.wait(acme.dau(1))[0]["events"] == 4  # what was drained is not lost


def test_repair_of_nobody_is_refused_and_makes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("repair", "--tenant", "nobody", "--data", str(tmp_path)) == 2
    assert "invalid_argument" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest_asyncio.fixture
async def damaged_gateway(hurt: Path) -> AsyncIterator[httpx.AsyncClient]:
    settings = Settings(data=hurt)
    backend = Backend(lambda: serve_runtime(settings, embedded=True))
    await backend.open()
    transport = httpx.ASGITransport(create_app(backend))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield client
    await backend.close()


async def test_each_read_over_http_says_degraded(damaged_gateway: httpx.AsyncClient) -> None:
    tenant = {"x-tenant": "acme"}
    ask = {"sql": "SELECT count(*) AS n FROM events"}
    replies: list[Any] = [
        await damaged_gateway.get("/stats", headers=tenant),
        await damaged_gateway.get("/dau?days=1", headers=tenant),
        await damaged_gateway.post("/query", headers=tenant, json=ask),
    ]
    assert [reply.status_code for reply in replies] == [200] * 3
    assert [reply.headers["x-raydo-degraded"] for reply in replies] == ["seq 2-2"] * 3
    assert replies[0].json()["degraded"][0]["lost_max"] == 1
    assert replies[2].json()["degraded"][0]["first_seq"] == 2
    assert replies[2].json()["rows"] == [{"n": 2}]

    other = await damaged_gateway.get("/stats")
    assert "x-raydo-degraded" not in other.headers
    assert "degraded" not in other.json()
