"""Casts on this machine's disk: what one process leaves, the next one sends, and once."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.connected import make
from support.receiver import Receiver
from support.shop import Shop

from raydo.pipelining.connection import Connection
from raydo.pipelining.errors import ConnectionLost, DataInUse, OutboxFull
from raydo.pipelining.journal import Journal
from raydo.pipelining.limits import CASTS_PER_FRAME_MAX
from raydo.pipelining.noun import Noun


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox" / "casts.db"


def ordered(receiver: Receiver, tenant: str = "acme") -> list[str]:
    ordered: list[str] = receiver.object(Noun(Shop.__name__, tenant)).ordered
    return ordered


def left(path: Path) -> int:
    """Count what a process that was killed now would leave."""
    journal = Journal(path)
    casts = len(journal.casts()) + sum(frame.casts for frame in journal.frames())
    journal.close()
    return casts


async def killed(connection: Connection) -> None:
    """Leave a connection as a killed process would: nothing flushed, nothing told."""
    for batch in connection._batches.values():
        batch._closed = True
        batch._sender.abandon(ConnectionLost("killed"))
    journal = connection._outbox.journal
    assert journal is not None
    journal.close()
    connection._outbox.journal = None
    connection._batches.clear()
    await connection.close()


async def test_what_was_cast_while_the_gateway_was_down_is_sent_by_the_next_process(
    path: Path,
) -> None:
    receiver = Receiver()
    receiver.gate = asyncio.Event()  # nothing arrives
    first = make(receiver, outbox=path)
    await first.connection.open()
    for number in range(CASTS_PER_FRAME_MAX + 7):
        first.shop().order(f"{number}")
    first.shop("globex").order("other")
    await asyncio.sleep(0)
    await killed(first.connection)
    assert left(path) == CASTS_PER_FRAME_MAX + 8

    second = make(Receiver(), outbox=path)
    async with second.connection:
        assert second.connection.stats().casts_kept == CASTS_PER_FRAME_MAX + 8
        await second.connection.flush()
        await settled(second.connection)
    assert ordered(second.receiver) == [f"{number}" for number in range(CASTS_PER_FRAME_MAX + 7)]
    assert ordered(second.receiver, "globex") == ["other"]
    assert left(path) == 0
    assert second.errors == []


async def settled(connection: Connection) -> None:
    async with asyncio.timeout(10):
        while connection.stats().casts_waiting:  # noqa: ASYNC110  # nothing tells when it is done
            await asyncio.sleep(0.001)


async def test_what_was_applied_and_not_answered_is_not_applied_again(path: Path) -> None:
    receiver = Receiver()
    first = make(receiver, outbox=path)
    await first.connection.open()
    shop = first.shop()
    assert await shop.price("pen") == 3  # takes a number that nobody writes down
    receiver.lose_answers += [ConnectionLost("cut")] * 3
    shop.order("a")
    shop.order("b")
    while not ordered(receiver):  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    await killed(first.connection)
    receiver.lose_answers.clear()
    assert left(path) == 2

    second = make(receiver, outbox=path)
    async with second.connection:
        second.shop().order("c")
        await second.connection.flush()
        await settled(second.connection)
    assert sorted(ordered(receiver)) == ["a", "b", "c"]
    assert left(path) == 0


async def test_leaving_in_order_keeps_what_could_not_be_delivered_and_reports_no_loss(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raydo.pipelining.connection.FLUSH_ON_EXIT_S", 0.01)
    receiver = Receiver()
    receiver.gate = asyncio.Event()
    wire = make(receiver, outbox=path)
    async with wire.connection:
        wire.shop().order("pen")

    assert wire.errors == []
    assert left(path) == 1


async def test_a_refused_cast_is_reported_and_not_kept(path: Path) -> None:
    wire = make(Receiver(), outbox=path)
    async with wire.connection:
        wire.shop().order("pen", -1)
        await wire.connection.flush()

    assert [str(error) for error in wire.errors] == ["ValueError: an order has at least one item"]
    assert left(path) == 0


async def test_an_outbox_has_one_user_at_a_time(path: Path) -> None:
    first, second = make(Receiver(), outbox=path), make(Receiver(), outbox=path)
    async with first.connection:
        with pytest.raises(DataInUse, match="in use"):
            await second.connection.open()
    path.write_text("this is no database, and long enough to be taken for one" * 20)
    with pytest.raises(DataInUse):
        await make(Receiver(), outbox=path).connection.open()


async def test_a_cast_that_the_disk_does_not_take_is_refused_and_counted(path: Path) -> None:
    wire = make(Receiver(), outbox=path)
    async with wire.connection:
        journal = wire.connection._outbox.journal
        assert journal is not None
        journal._database.execute("PRAGMA query_only = ON")
        with pytest.raises(OutboxFull, match="cannot be written"):
            wire.shop().order("pen")
        journal._database.execute("PRAGMA query_only = OFF")
        stats = wire.connection.stats()
        assert (stats.casts_dropped, stats.casts_waiting, stats.bytes_waiting) == (1, 0, 0)
        assert await wire.shop().order("pen")


SCRIPT = """
import os, sys, raydo
with raydo.connect("http://127.0.0.1:9", outbox=sys.argv[1]):
    for number in range(100):
        raydo.Analytics("acme").track("Sent", {"number": number})
    os.kill(os.getpid(), 9)
"""


async def test_a_killed_process_loses_nothing_that_track_returned_from(
    path: Path, tmp_path: Path
) -> None:
    import raydo
    from raydo.actors.analytics import Analytics

    done: Any = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", SCRIPT, str(path)], capture_output=True, check=False
    )
    assert done.returncode == -9, done.stderr

    async with raydo.connect(data=tmp_path / "data", outbox=path) as connection:
        assert connection.stats().casts_kept == 100
        await settled(connection)
        acme = connection.stub(Analytics, "acme")
        assert (await acme.stats())["events"] == {"Sent": 100}
