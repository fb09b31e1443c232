"""Log lines for machines say whose turn it was, and which request."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from raydo.actors import logs
from raydo.actors.object import DurableObject
from raydo.actors.world import World
from raydo.pipelining.method import call


class Grumbler(DurableObject):
    """Says something in its log."""

    @call
    def grumble(self, text: str) -> None:
        self.counters.incr("said")
        logging.getLogger("raydo").warning("he said %s", text, extra={"mood": "bad"})


@pytest.fixture
def lines() -> Iterator[Any]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.JsonLines())
    logger = logging.getLogger("raydo")
    logger.addHandler(handler)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    logger.removeHandler(handler)


def test_a_line_names_object_tenant_and_epoch(lines: Any, tmp_path: Path) -> None:
    with World(tmp_path) as world:
        world.wait(world.stub(Grumbler, "acme").grumble("a\nb"))
        world.wait(world.stub(Grumbler, "acme").grumble("c"))
    said = [line for line in lines() if "mood" in line]
    assert said[-1]["message"] == "he said c"
    assert said[-1]["level"] == "warning"
    assert (said[-1]["object"], said[-1]["tenant"]) == ("Grumbler", "acme")
    assert said[-1]["epoch"] >= 1
    assert said[-1]["mood"] == "bad"


async def test_a_failed_request_leaves_a_line_with_its_id(
    lines: Any, gateway: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    from raydo.gateway import monitor

    monkeypatch.setattr(monitor, "SLOW_REQUEST_S", 0.0)
    await gateway.get("/stats", headers={"x-request-id": "shop-9"})
    [line] = [line for line in lines() if line.get("request_id") == "shop-9"]
    assert (line["route"], line["status"]) == ("/stats", 200)
    assert line["duration_ms"] > 0


def test_an_exception_is_in_its_line(lines: Any) -> None:
    try:
        raise ValueError("no")
    except ValueError:
        logging.getLogger("raydo").exception("failed")
    [line] = lines()
    assert "ValueError: no" in line["exception"]
