"""What every runtime promises, asked of each: objects in this process, and objects on Ray."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from support.jar import Jar
from support.place import Place, fresh, opened

from raydo.actors.object import DurableObject
from raydo.actors.settings import Settings
from raydo.pipelining.errors import (
    ConnectionLost,
    InvalidArgument,
    ObjectFailed,
    UnknownObject,
    decode_error,
)
from raydo.pipelining.frame import Reply
from raydo.pipelining.method import call, cast
from raydo.pipelining.noun import Noun

Open = Callable[..., AbstractAsyncContextManager[Place]]


class Whisper(DurableObject):
    """A class that no other process can import: it travels by value."""

    @cast
    def say(self, word: str) -> None:
        self.counters.incr(f"said:{word}")

    @call
    def heard(self, word: str) -> int:
        return self.counters.get(f"said:{word}")


@pytest.fixture(params=["embedded", pytest.param("ray", marks=pytest.mark.ray)])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def settings(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    if kind == "embedded":
        return Settings(data=tmp_path / "data")
    given = request.getfixturevalue("ray_settings")
    assert isinstance(given, Settings)
    return given


@pytest.fixture
def open_place(kind: str, settings: Settings) -> Open:
    return partial(opened, settings, on_ray=kind == "ray")


@pytest_asyncio.fixture
async def place(open_place: Open) -> AsyncIterator[Place]:
    async with open_place() as place:
        yield place


async def test_what_was_tracked_is_seen_by_every_way_to_look(place: Place) -> None:
    acme = place.analytics(fresh())

    acme.track("PageView", {"userId": "alice", "page": "/pricing"})
    acme.track({"event": "PageView", "userId": "bob"})
    acme.track("SignUp", {"userId": "bob"})
    await place.connection.flush()

    assert await acme.get_dau(7)[0]["dau"] == 2
    assert len(await acme.get_dau(7)) == 7
    assert (await acme.stats())["events"] == {"PageView": 2, "SignUp": 1}
    answer = await acme.query("SELECT event, count(*) AS n FROM raw_events GROUP BY 1 ORDER BY 1")
    assert answer["rows"] == [{"event": "PageView", "n": 2}, {"event": "SignUp", "n": 1}]


async def test_an_awaited_track_gives_the_events_id(place: Place) -> None:
    acme = place.analytics(fresh())

    event_id = await acme.track("PageView", {"userId": "alice"})

    rows = (await acme.query("SELECT id FROM raw_events"))["rows"]
    assert rows == [{"id": event_id}]


async def test_a_chain_costs_one_envelope_whatever_its_length(place: Place) -> None:
    tenant = fresh()
    acme = place.analytics(tenant)
    await acme.track("PageView", {"userId": "alice"})
    before = await place.envelopes(tenant)

    assert await acme.get_dau(7).map(lambda row: row["dau"])[0] == 1

    assert await place.envelopes(tenant) == before + 1


async def test_three_chains_gathered_cost_one_envelope(place: Place) -> None:
    tenant = fresh()
    acme = place.analytics(tenant)
    await acme.track("PageView", {"userId": "alice"})
    before = await place.envelopes(tenant)

    days = acme.get_dau(7)
    first, dates, now = await asyncio.gather(
        days[0]["dau"], days.map(lambda row: row["date"]), acme.get_active_users()
    )

    assert (first, len(dates), now) == (1, 7, 1)
    assert await place.envelopes(tenant) == before + 1


async def test_a_thousand_tracks_cost_a_handful_of_envelopes_and_a_flush_keeps_them(
    open_place: Open,
) -> None:
    tenant = fresh()
    async with open_place() as place:
        acme = place.analytics(tenant)
        await acme.stats()
        before = await place.envelopes(tenant)
        for index in range(1_000):
            acme.track("PageView", {"userId": f"user-{index}"})
        await place.connection.flush()
        assert await place.envelopes(tenant) - before <= 20

    async with open_place() as place:
        acme = place.analytics(tenant)
        assert await acme.get_dau(1)[0]["dau"] == 1_000
    assert place.errors == []


async def test_leaving_keeps_what_nobody_awaited(open_place: Open) -> None:
    tenant = fresh()
    async with open_place() as place:
        for _ in range(1_000):
            place.analytics(tenant).track("PageView")

    async with open_place() as place:
        assert (await place.analytics(tenant).stats())["events"] == {"PageView": 1_000}


async def test_a_frame_sent_again_is_applied_once_and_answered_the_same(place: Place) -> None:
    tenant, session = fresh(), os.urandom(16)
    noun = Noun("Analytics", tenant)

    first = await place.send(noun, session, 1, "track", "PageView")
    again = await place.send(noun, session, 1, "track", "PageView")

    assert first == again
    assert (await place.analytics(tenant).stats())["events"] == {"PageView": 1}


async def test_a_lost_answer_costs_nothing_but_a_retry(place: Place) -> None:
    tenant = fresh()
    lossy = _LosesAnswers(place)
    place.connection._transport = lossy  # type: ignore[assignment]
    acme = place.analytics(tenant)

    ids = await asyncio.gather(*(acme.track("PageView") for _ in range(10)))

    assert len(set(ids)) == 10
    assert lossy.lost > 0
    assert (await acme.stats())["events"] == {"PageView": 10}


class _LosesAnswers:
    """Deliver every envelope, and lose every other answer."""

    def __init__(self, place: Place) -> None:
        transport = place.connection._transport
        assert transport is not None
        self._transport = transport
        self._sent = 0
        self.lost = 0

    async def send(self, noun: Noun, envelope: bytes, more: Any = None) -> bytes:
        answer = await self._transport.send(noun, envelope, more)
        self._sent += 1
        if self._sent % 2:
            self.lost += 1
            raise ConnectionLost("The answer was lost.")
        return answer

    async def close(self) -> None:
        await self._transport.close()


async def test_an_unknown_method_is_an_error_with_a_sentence(place: Place) -> None:
    noun = Noun("Analytics", fresh())

    answer = await place.send(noun, os.urandom(16), 1, "drop_table")

    [outcome] = Reply.decode(answer.payload).results
    error = decode_error(outcome.value)
    assert (outcome.failed, error.code) == (True, "unknown_method")
    assert "drop_table" in str(error)


async def test_an_unknown_object_is_an_error_with_a_sentence(place: Place) -> None:
    with pytest.raises(UnknownObject, match="Nowhere"):
        await place.connection.Nowhere(fresh()).anything()


@pytest.mark.parametrize("tenant", ["acme/eu", "日本", "../x", ".", "a b\n", "é", "e\u0301"])
async def test_any_text_is_a_tenant_and_none_is_a_path(place: Place, tenant: str) -> None:
    acme = place.analytics(tenant)

    await acme.track("PageView", {"userId": tenant})

    assert (await acme.query("SELECT user_id FROM raw_events"))["rows"] == [{"user_id": tenant}]
    kept = {path.parent for path in place.settings.data.parent.rglob("tenant.db")}
    assert {path.parent.parent for path in kept} == {place.settings.data}


async def test_tenants_see_nothing_of_each_other(place: Place) -> None:
    acme, globex = place.analytics(fresh("acme")), place.analytics(fresh("globex"))

    await asyncio.gather(acme.track("PageView"), globex.track("SignUp"))

    assert (await acme.stats())["events"] == {"PageView": 1}
    rows = (await globex.query("SELECT event FROM raw_events"))["rows"]
    assert rows == [{"event": "SignUp"}]


async def test_a_users_own_object_lives_by_its_modules_name(open_place: Open) -> None:
    async with open_place(objects=("support.jar",)) as place:
        jar = place.connection.stub(Jar, fresh())
        jar.put("toffee")
        jar.put("mint")

        assert await jar.names()[1] == "mint"

        with pytest.raises(ObjectFailed, match="all over the floor"):
            await jar.spill()
        assert await jar.names() == ["toffee", "mint"]


@pytest.mark.slow
async def test_a_class_that_no_module_gives_travels_by_value(place: Place) -> None:
    whisper = place.connection.stub(Whisper, fresh())

    whisper.say("hush")

    assert await whisper.heard("hush") == 1
    assert await whisper.counters.get("said:hush") == 1


async def test_a_module_that_cannot_be_imported_is_named_at_once(open_place: Open) -> None:
    with pytest.raises(InvalidArgument, match=r"'no\.such\.module' cannot be imported"):
        async with open_place(objects=("no.such.module",)):
            pass


SCRIPT = """
import sys
import raydo
from raydo import DurableObject, call

class Greeter(DurableObject):
    @call
    def greet(self, name: str) -> str:
        self.greeted = getattr(self, "greeted", 0) + 1
        return f"{self.tenant} greets {name} ({self.greeted})"

data, ray = sys.argv[1:]
with raydo.connect(data=data, ray=ray or None):
    promise = Greeter("acme").greet("world")
    print(raydo.wait(promise))
"""


@pytest.mark.slow
def test_a_class_of_a_script_lives_where_the_script_connects(
    kind: str, settings: Settings, tmp_path: Path
) -> None:
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(SCRIPT))

    done = subprocess.run(
        [sys.executable, str(script), str(settings.data), "local" if kind == "ray" else ""],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.stdout == "acme greets world (1)\n", done.stderr


@pytest.mark.slow
async def test_the_archive_is_part_of_events_and_its_libraries_stay_elsewhere(
    kind: str, place: Place
) -> None:
    tenant = fresh()
    acme = place.analytics(tenant)
    for n in range(5):
        await acme.track("Old", userId=f"u{n}", timestamp="2024-01-02T03:04:05Z")
    assert await acme.archive(3_600) is not None
    async with asyncio.timeout(60):
        while (await acme.archive_runs())[-1]["state"] != "deleted":  # noqa: ASYNC110 - elsewhere
            await asyncio.sleep(0.05)
    before = await place.envelopes(tenant)

    sql = "SELECT count(*) AS n, count(DISTINCT user_id) AS users FROM events"
    reply = await acme.query(sql)
    assert (reply["rows"], reply["layers"]) == ([{"n": 5, "users": 5}], ["L2", "L3"])
    assert await acme.query(sql, as_of="2020-01-01T00:00:00Z")["rows"][0]["n"] == 0
    assert await place.envelopes(tenant) == before + 2
    if kind == "ray":
        pid = (await place.runtime.counts(Noun("Analytics", tenant)))["pid"]
        loaded = Path(f"/proc/{pid}/maps").read_text()
        assert "duckdb" not in loaded
        assert "pyiceberg" not in loaded  # Arrow is there: Ray itself loads it
