"""The official Cap'n Web client against the gateway's own application, with objects on real Ray."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from starlette.types import Receive, Scope, Send
from support.npm import node, run_node, serving

from raydo.actors.runtime import serve_runtime
from raydo.actors.settings import Settings
from raydo.gateway.app import Gateway, create_app
from raydo.gateway.backend import Backend
from raydo.gateway.replies import answer
from raydo.pipelining.noun import Noun

pytestmark = pytest.mark.ray

COUNTED = Noun("Analytics", "counted")


class Door:
    """Count the requests that come in, and tell the client how many there were."""

    def __init__(self, app: Gateway) -> None:
        self.app = app
        self.requests = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "GET":
            await answer({"requests": self.requests, "sessions": []})(scope, receive, send)
            return
        self.requests += 1
        await self.app(scope, receive, send)


@pytest_asyncio.fixture
async def on_ray(ray_settings: Settings) -> AsyncIterator[Backend]:
    backend = Backend(lambda: serve_runtime(ray_settings, default=False))
    await backend.open()
    yield backend
    await backend.close()


async def envelopes(backend: Backend) -> int:
    served = backend._served
    assert served is not None
    return (await served.runtime.counts(COUNTED)).get("envelopes", 0)


async def say(backend: Backend, group: str) -> tuple[int, list[dict[str, str]]]:
    """Run one group of claims, and give how many requests it took and what it printed."""
    door = Door(create_app(backend))
    async with serving(door) as host:
        printed = await run_node("capnweb.mjs", group, host, "capnweb")
    return door.requests, [json.loads(line) for line in printed.splitlines()]


@pytest.mark.parametrize("group", ["batch", pytest.param("socket", marks=pytest.mark.slow)])
async def test_the_official_client_is_answered_by_objects_on_ray(
    on_ray: Backend, group: str
) -> None:
    node()
    await on_ray.analytics("counted").stats()  # the first host may take long to start
    _, outcomes = await say(on_ray, group)

    assert outcomes
    assert [each for each in outcomes if each["error"]] == []


@pytest.mark.parametrize("group", ["one", "five"])
async def test_a_chain_of_any_length_costs_one_request_and_one_actor_call(
    on_ray: Backend, group: str
) -> None:
    node()
    await on_ray.analytics("counted").stats()  # so that a host counts from here on
    before = await envelopes(on_ray)

    requests, [outcome] = await say(on_ray, group)

    assert outcome["error"] is None, outcome
    assert (requests, await envelopes(on_ray) - before) == (1, 1)
