"""What several test modules share: the event loops they run on, and live objects to call."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import hypothesis
import pytest
import pytest_asyncio
import uvloop
from xdist.scheduler import LoadScopeScheduling

from raydo.actors.activation import Activation
from raydo.actors.clock import FakeClock
from raydo.actors.object import DurableObject
from raydo.pipelining.errors import decode_error
from raydo.pipelining.frame import (
    APPLIED,
    Answer,
    Call,
    Entry,
    Program,
    Reply,
    decode_answers,
    encode_envelope,
)
from raydo.pipelining.noun import Noun

if TYPE_CHECKING:
    from xdist.remote import Producer

    from raydo.actors.settings import Settings
    from raydo.gateway.backend import Backend

# How long one example takes says how busy the machine is, and nothing about raydo.
hypothesis.settings.register_profile("raydo", deadline=None)
hypothesis.settings.load_profile("raydo")

LoopFactory = Callable[[], asyncio.AbstractEventLoop]


def pytest_asyncio_loop_factories(config: object, item: pytest.Item) -> dict[str, LoopFactory]:
    """Run on asyncio's own loop, and on uvloop too what `loops` marks: a server runs on that."""
    loops: dict[str, LoopFactory] = {"asyncio": asyncio.new_event_loop}
    if item.get_closest_marker("loops"):
        loops["uvloop"] = uvloop.new_event_loop
    return loops


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave slow tests to CI."""
    if os.environ.get("CI") != "true":
        skip = pytest.mark.skip(reason="slow: `CI=true make test` runs it")
        for item in items:
            if item.get_closest_marker("slow"):
                item.add_marker(skip)


class OneRay(LoadScopeScheduling):
    """Give all tests that need Ray to one process, and any other test to whichever is free.

    `--dist loadgroup` would, but pytest-xdist 3.8 does not find its groups under pytest 9.2.
    """

    def _split_scope(self, nodeid: str) -> str:
        on_ray = nodeid.startswith("tests/cluster/") or "[ray" in nodeid
        return "ray" if on_ray else nodeid


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> OneRay:
    return OneRay(config, log)


class Live:
    """One live object on disk, called by envelopes as a host would, one program a call."""

    def __init__(self, data: Path, cls: type[DurableObject], tenant: str, clock: FakeClock) -> None:
        self.noun = Noun(cls.__name__, tenant)
        self.cls = cls
        self.data = data
        self.clock = clock
        self.session = random.randbytes(16)
        self.n = 0
        self.lost: list[Activation] = []
        self.activation = self._activation()

    def call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Call one method, and return its result or raise its error."""
        return self.calls((name, args, kwargs))[0]

    def calls(self, *calls: tuple[str, tuple[Any, ...], dict[str, Any]]) -> list[Any]:
        """Call several methods in one program, and return their results or raise the first error."""
        return values(self.send(program(*calls)))

    def send(self, *programs: bytes) -> list[Answer]:
        """Send programs in one envelope of the object's own session."""
        entries = []
        for each in programs:
            entries.append(Entry(self.session, self.n + 1, self.n, each))
            self.n += 1
        return self.apply(*entries)

    def apply(self, *entries: Entry) -> list[Answer]:
        return decode_answers(self.activation.apply(encode_envelope(entries)))

    def crash(self) -> None:
        """Leave the activation as a killed process would, and start another."""
        self.activation.crash()
        self.lost.append(self.activation)  # its database stays open: to close it would tidy up
        self.activation = self._activation()

    def sleep(self) -> None:
        """Close the activation, and start another."""
        self.activation.close()
        self.activation = self._activation()

    def close(self) -> None:
        for activation in self.lost:
            activation.abandon()
        self.activation.close()

    def _activation(self) -> Activation:
        source = random.Random(self.n).randbytes
        return Activation(self.noun, self.cls, self.data, clock=self.clock, random=source)


def program(*calls: tuple[str, tuple[Any, ...], dict[str, Any]]) -> bytes:
    ops = tuple(Call(-1, name, list(args), kwargs, False) for name, args, kwargs in calls)
    return Program(ops, tuple(range(len(ops)))).encode()


def values(answers: list[Answer]) -> list[Any]:
    """Return the results of one answer, or raise the first error in it."""
    [answer] = answers
    assert answer.status == APPLIED, answer
    assert isinstance(answer.payload, bytes)
    reply = Reply.decode(answer.payload)
    for outcome in reply.results:
        if outcome.failed:
            raise decode_error(outcome.value)
    return [outcome.value for outcome in reply.results]


MakeLive = Callable[..., Live]


@pytest.fixture
def live(tmp_path: Path) -> Iterator[MakeLive]:
    """Make live objects of a class: `live(Cart)`, `live(Cart, "globex")`; one clock for all."""
    made: list[Live] = []
    clock = FakeClock()

    def make(cls: type[DurableObject], tenant: str = "acme") -> Live:
        made.append(Live(tmp_path / "data", cls, tenant, clock))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest_asyncio.fixture
async def backend(tmp_path: Path) -> AsyncIterator[Backend]:
    """Run an embedded runtime on an empty data folder, as the gateway does."""
    from raydo.actors.runtime import serve_runtime
    from raydo.actors.settings import Settings
    from raydo.gateway.backend import Backend

    settings = Settings(data=tmp_path / "data")
    backend = Backend(lambda: serve_runtime(settings, embedded=True))
    await backend.open()
    yield backend
    await backend.close()


@pytest_asyncio.fixture
async def gateway(backend: Backend) -> AsyncIterator[httpx.AsyncClient]:
    """Speak HTTP to the gateway's application, with everything behind it real."""
    from raydo.gateway.app import create_app

    transport = httpx.ASGITransport(create_app(backend), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8000") as client:
        yield client


class Keyed:
    """A gateway that asks for keys, and the keys to it."""

    def __init__(self, backend: Backend) -> None:
        from raydo.gateway.app import create_app
        from raydo.gateway.keyring import Keyring
        from raydo.pipelining.stub import make_stub

        self.backend = backend
        self.app = create_app(backend, keyed=True)
        self.keyring = Keyring(lambda noun: make_stub(noun.cls, noun.id, backend.check()).keys)
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        self.client = httpx.AsyncClient(transport=transport, base_url="http://raydo.example")

    async def key(self, kind: str, tenant: str | None = "acme", **settings: Any) -> str:
        made = await self.keyring.create(kind, None if kind == "server" else tenant, **settings)
        text: str = made["key"]
        return text

    async def ask(self, method: str, path: str, key: str | None = None, **request: Any) -> Any:
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        return await self.client.request(
            method, path, headers={**headers, **request.pop("headers", {})}, **request
        )


@pytest_asyncio.fixture
async def keyed(backend: Backend) -> AsyncIterator[Keyed]:
    """Speak HTTP to a gateway that asks for keys."""
    keyed = Keyed(backend)
    async with keyed.client:
        yield keyed


@pytest.fixture(scope="session")
def ray_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Start Ray once, for a folder that all tests marked `ray` share; each has its own tenants."""
    from raydo.actors import service
    from raydo.actors.keeper import ray_keeper
    from raydo.actors.settings import Settings

    settings = Settings(data=tmp_path_factory.mktemp("ray") / "data")
    entered = ray_keeper.submit(lambda: service.enter(settings)).result()
    yield settings
    ray_keeper.submit(lambda: service.leave(entered)).result()
