"""The official client from npm, over real sockets, against real objects on disk.

`transcripts.json` is what the client and the server said to each other, message by message. To
record it again: RAYDO_RECORD=1 pytest -n 0 tests/clients/test_capnweb_client.py
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.desk import Desk
from support.npm import node, run_node, serving
from support.rpc import InMemory, RpcApp
from support.target import Targets

from raydo.gateway.backend import Backend

if TYPE_CHECKING:
    from conftest import Keyed

TRANSCRIPTS = Path(__file__).parent / "transcripts.json"
LATEST, OLDEST = "capnweb", "capnweb-oldest"  # names in package.json


@pytest.mark.parametrize(
    ("client", "group", "claims"),
    [
        (LATEST, "batch", 13),
        (LATEST, "errors", 12),
        (LATEST, "socket", 7),
        (LATEST, "callbacks", 9),
        (LATEST, "disposal", 6),
        (LATEST, "values", 4),
        (LATEST, "watching", 4),
        (OLDEST, "batch", 13),
        pytest.param(OLDEST, "socket", 7, marks=pytest.mark.slow),
        pytest.param(OLDEST, "callbacks", 9, marks=pytest.mark.slow),
        pytest.param(OLDEST, "disposal", 6, marks=pytest.mark.slow),
    ],
)
async def test_the_official_client(backend: Backend, client: str, group: str, claims: int) -> None:
    node()
    app = RpcApp(backend, {"/targets": Targets})
    async with serving(app) as host:
        printed = await run_node("capnweb.mjs", group, host, client)

    outcomes = [json.loads(line) for line in printed.splitlines()]
    failures = {each["name"]: each["error"] for each in outcomes if each["error"]}
    assert not failures, "\n\n".join(f"{name}: {error}" for name, error in failures.items())
    assert len(outcomes) == claims
    assert not app.socket.open


@pytest.mark.parametrize("client", [LATEST, OLDEST])
async def test_the_official_client_shows_its_key(keyed: Keyed, client: str) -> None:
    node()
    async with serving(keyed.app) as host:
        printed = await run_node("capnweb.mjs", "keys", host, client, await keyed.key("read"))

    outcomes = [json.loads(line) for line in printed.splitlines()]
    assert [each for each in outcomes if each["error"]] == []
    assert len(outcomes) == 5


async def test_client_and_server_say_what_they_said_when_it_was_recorded(backend: Backend) -> None:
    node()
    app = RpcApp(backend, {"/targets": Targets}, InMemory)
    async with serving(app) as host:
        printed = await run_node("transcripts.mjs", host)
    scenes = [json.loads(line) for line in printed.splitlines()]
    if os.environ.get("RAYDO_RECORD"):
        TRANSCRIPTS.write_text(written([dict(scene) for scene in scenes]))

    for now, then in zip(scenes, recorded(), strict=True):
        assert now["name"] == then["name"]
        assert now["result"] == then["result"], now["name"]
        for who in ("client", "server"):
            assert said_by(now, who) == said_by(then, who), (now["name"], who)


def recorded() -> list[dict[str, Any]]:
    scenes: list[dict[str, Any]] = json.loads(TRANSCRIPTS.read_text())
    return scenes


def written(scenes: list[dict[str, Any]]) -> str:
    """Write one message a line."""
    parts = []
    for scene in scenes:
        said = ",\n".join(f"  {json.dumps(each)}" for each in scene.pop("said"))
        parts.append(f'{json.dumps(scene)[:-1]}, "said": [\n{said}\n]}}')
    return "[\n" + ",\n".join(parts) + "\n]\n"


def said_by(scene: dict[str, Any], who: str) -> list[str]:
    """List what one side said; answers to several questions at once come in any order."""
    return sorted(json.dumps(message) for speaker, message in scene["said"] if speaker == who)


@pytest.mark.parametrize(
    "scene", recorded() if TRANSCRIPTS.exists() else [], ids=lambda s: s["name"]
)
def test_the_session_answers_a_recorded_client_as_it_did(scene: dict[str, Any]) -> None:
    desk = Desk(batch=scene["name"].startswith("batch"))
    heard: list[Any] = []
    said = [message for speaker, message in scene["said"] if speaker == "client"]

    if scene["name"].startswith("batch"):
        heard = desk.batch(*said)
    else:
        for message in said:
            heard += desk.ask(message)
            desk.awaits.clear()

    assert sorted(map(json.dumps, heard)) == said_by(scene, "server")
    if "held" in scene:
        assert desk.session.stats() == {
            "imports": scene["held"]["exports"],
            "exports": scene["held"]["imports"],
        }
