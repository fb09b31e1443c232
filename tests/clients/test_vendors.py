"""Other vendors' real clients: every event arrives once, whatever happens to the server."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from crash.server import Server
from support.npm import serving
from support.vendors import NODE, PYTHON, expected, running

if TYPE_CHECKING:
    from conftest import Keyed

ROWS = {"sql": "SELECT event, user_id, properties FROM raw_events", "limit": 10_000}


def marked(row: dict[str, Any]) -> str:
    properties = json.loads(row["properties"])
    found = properties.get("n") or properties.get("previousId")
    return str(found or properties["traits"]["n"])


def check(rows: list[dict[str, Any]], wanted: dict[str, str]) -> None:
    assert Counter((marked(row), row["event"]) for row in rows) == Counter(wanted.items())
    assert {row["user_id"] for row in rows if row["event"] != "$group"} == {"alice"}
    assert "raydo_" not in json.dumps(rows)


@pytest.mark.parametrize(
    "client",
    [
        "segment",
        pytest.param("segment-gzip", marks=pytest.mark.slow),
        pytest.param("rudder", marks=pytest.mark.slow),
        pytest.param("posthog", marks=pytest.mark.slow),
        "posthog-v1",
        "mixpanel",
        NODE,
    ],
)
async def test_a_vendors_client_sends_its_events_here_unchanged(keyed: Keyed, client: str) -> None:
    async with (
        serving(keyed.app) as host,
        running(client, f"http://{host}", await keyed.key("write")) as sender,
    ):
        await sender.send("one")

    rows = (await keyed.ask("POST", "/query", await keyed.key("read"), json=ROWS)).json()["rows"]
    check(rows, expected(client, "one"))


@pytest.mark.slow
async def test_nothing_is_lost_or_counted_twice_when_the_server_is_killed_between_two_sends(
    tmp_path: Path,
) -> None:
    server = Server(tmp_path / "data", tmp_path, ["--embedded", "--keys"])
    clients = (*PYTHON, NODE)
    try:
        server.start()
        await server.ready()
        admin = {
            "authorization": f"Bearer {(server.data / '.raydo/admin-key').read_text().strip()}"
        }
        async with (
            httpx.AsyncClient(base_url=server.url, headers=admin, trust_env=False) as ask,
            AsyncExitStack() as stack,
        ):
            senders = []
            for client in clients:
                wanted = {"kind": "write", "tenant": client}
                made = await ask.post("/admin/keys", json=wanted)
                started = running(client, server.url, made.json()["key"])
                senders.append(await stack.enter_async_context(started))
            await asyncio.gather(*(sender.send("one") for sender in senders))
            server.kill()
            server.start()
            await server.ready()
            await asyncio.gather(*(sender.send("two") for sender in senders))

            for client in clients:
                reply = await ask.post("/query", json=ROWS, headers={"x-tenant": client})
                check(reply.json()["rows"], expected(client, "one", "two"))
    finally:
        await server.sweep()
