"""One line to each host, opened once, and found again when it broke."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from raydo.actors.courier import Courier
from raydo.actors.errand import Errand, read_request
from raydo.actors.listener import Listener
from raydo.pipelining.errors import ConnectionLost, Moved, NotConnected, Starting
from raydo.pipelining.noun import Noun
from raydo.pipelining.transport import More

ACME = Noun("Analytics", "acme")


class Town:
    """A directory of hosts in this process, which one may break."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.found = 0
        self.accepted: list[tuple[Noun, bytes]] = []
        self.error: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.server: Listener | None = None
        self.refusing = 0

    async def find(self, noun: Noun) -> Path:
        self.found += 1
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        if self.server is None:
            self.server = Listener(self.folder / f"host-{self.found}", self.deliver)
            await self.server.open()
        return self.server.path

    async def deliver(self, payload: bytes, more: More) -> bytes:
        request = read_request(payload)
        assert not isinstance(request, Errand)
        if self.refusing:
            self.refusing -= 1
            raise Moved("not here")
        self.accepted.append(request)
        return b"answer"

    async def move(self) -> None:
        """End the host; the next one to look finds another."""
        if self.server is not None:
            server, self.server = self.server, None
            await server.close()


@pytest_asyncio.fixture
async def town() -> AsyncIterator[Town]:
    with tempfile.TemporaryDirectory() as folder:
        town = Town(Path(folder))
        yield town
        await town.move()


@pytest_asyncio.fixture
async def courier(town: Town) -> AsyncIterator[Courier]:
    courier = Courier(town)
    yield courier
    await courier.close()


async def test_an_envelope_arrives_with_the_name_of_its_object(
    town: Town, courier: Courier
) -> None:
    assert await courier.send(ACME, b"envelope") == b"answer"

    assert town.accepted == [(ACME, b"envelope")]


async def test_a_line_is_found_once_for_all_who_send_together(town: Town, courier: Courier) -> None:
    await asyncio.gather(*(courier.send(ACME, b"envelope") for _ in range(20)))
    await courier.send(ACME, b"envelope")

    assert town.found == 1


async def test_objects_of_one_host_share_its_line(town: Town, courier: Courier) -> None:
    for number in range(5):
        await courier.send(Noun("Analytics", f"t{number}"), b"envelope")

    assert town.found == 5
    assert town.server is not None
    assert len(town.server.callers) == 1


async def test_an_object_that_moved_is_looked_for_again_at_once(
    town: Town, courier: Courier
) -> None:
    await courier.send(ACME, b"one")
    town.refusing = 2

    assert await courier.send(ACME, b"two") == b"answer"

    assert [envelope for _, envelope in town.accepted] == [b"one", b"two"]
    assert town.found == 3


async def test_an_object_that_is_nowhere_is_a_lost_connection(town: Town, courier: Courier) -> None:
    town.refusing = 100
    with pytest.raises(ConnectionLost):
        await courier.send(ACME, b"envelope")


async def test_a_host_that_moved_is_found_again(town: Town, courier: Courier) -> None:
    await courier.send(ACME, b"one")
    await town.move()

    await courier.send(ACME, b"two")

    assert [envelope for _, envelope in town.accepted] == [b"one", b"two"]
    assert town.found == 2


async def test_a_host_that_is_not_there_yet_is_asked_for_each_time(
    town: Town, courier: Courier
) -> None:
    town.error = Starting("Not yet.")
    for _ in range(2):
        with pytest.raises(Starting):
            await courier.send(ACME, b"envelope")

    town.error = None

    assert await courier.send(ACME, b"envelope") == b"answer"
    assert town.found == 3


async def test_a_stale_socket_is_a_lost_connection(town: Town, courier: Courier) -> None:
    class Stale:
        async def find(self, noun: Noun) -> Path:
            return town.folder / "gone"

    with pytest.raises(ConnectionLost):
        await Courier(Stale()).send(ACME, b"envelope")


async def test_a_sender_who_gives_up_leaves_the_line_to_the_others(
    town: Town, courier: Courier
) -> None:
    town.gate.clear()
    hasty = asyncio.create_task(courier.send(ACME, b"hasty"))
    patient = asyncio.create_task(courier.send(ACME, b"patient"))
    await asyncio.sleep(0)

    hasty.cancel()
    town.gate.set()

    assert await patient == b"answer"
    assert town.accepted == [(ACME, b"patient")]


async def test_closing_ends_what_is_being_opened_and_refuses_what_comes(
    town: Town, courier: Courier
) -> None:
    town.gate.clear()
    opening = asyncio.create_task(courier.send(ACME, b"envelope"))
    await asyncio.sleep(0)

    await courier.close()

    with pytest.raises(asyncio.CancelledError):
        await opening
    with pytest.raises(NotConnected):
        await courier.send(ACME, b"envelope")
