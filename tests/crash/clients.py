"""The clients of one tenant: they send until they are told that it is safe, and write that down.

Those that speak HTTP name their events and send them again after whatever was no answer, as
Segment's do; sometimes they give up a request early, and sometimes they repeat what was already
acknowledged. Those that use raydo's stubs name nothing: that each cast counts once is the stub's
own affair. A reader asks all the while, and must never be told less than was acknowledged before,
nor more than was begun.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from random import Random
from typing import Any

import httpx
from crash.ledger import NAMES, Account, Event, Receipt
from crash.traffic import ANSWER_S_MAX, REQUEST_S_MAX, Http, Traffic

import raydo

Job = Callable[[], Awaitable[None]]

HASTY_S = 0.005  # some requests are given up this soon, mostly while they are being worked on
PAUSE_S_MAX = 0.03  # between two jobs of one client
BATCHES = (1, 1, 2, 3, 5, 5, 10, 20, 40, 200)  # events in one request
STUBS = 2  # connections of a tenant that send casts
BURSTS = (1, 1, 5, 20)  # casts in a row
USERS = 300
BACK_S = 4 * 86_400  # how far back late events reach
AGAIN_MAX = 300  # acknowledged events from which repetitions are chosen


class Crowd:
    """The clients of one tenant."""

    def __init__(self, account: Account, http: Http, traffic: Traffic, random: Random) -> None:
        self.account = account
        self.http = http
        self._traffic = traffic
        self._random = random
        self._made = 0
        self._again: deque[Event] = deque(maxlen=AGAIN_MAX)

    def jobs(self, connections: Iterable[raydo.Connection]) -> list[Job]:
        """List what the clients do, again and again, each as often as it stands here."""
        casts = [partial(self._casts, connection) for connection in connections]
        return [self._track, self._track, self._batch, *casts, self._read]

    # What they do.

    async def _track(self) -> None:
        random = self._random
        [event] = events = self._events(1, named=True)
        hasty = random.random() < 0.03
        await self._send(events, "/track", self._wire(event), hasty=hasty)
        if random.random() < 0.1:
            await self._repeat(event)

    async def _repeat(self, event: Event) -> None:
        with self._traffic.write(self.account.tenant):
            answer, _ = await self.http.ask("POST", "/track", self._wire(event))
        self._traffic.repeated += 1
        self.account.expect("answer", "id of a repetition", answer["id"], event.message_id)

    async def _batch(self) -> None:
        random = self._random
        new = self._events(random.choice(BATCHES), named=True)
        again = random.sample(list(self._again), min(len(self._again), random.choice((0, 0, 3))))
        batch = [self._wire(event) for event in (*new, *again)]
        random.shuffle(batch)
        answer, attempts = await self._send(
            new, "/track/batch", batch, hasty=random.random() < 0.03
        )
        self._traffic.repeated += len(again)
        # A batch is one call: all of it was new, or all of it came with an earlier attempt.
        fresh = (len(new),) if attempts == 1 else (len(new), 0)
        self._expect_counts(answer, len(batch), fresh)
        if random.random() < 0.1:
            with self._traffic.write(self.account.tenant):
                answer, _ = await self.http.ask("POST", "/track/batch", batch)
            self._traffic.repeated += len(batch)
            self._expect_counts(answer, len(batch), (0,))

    def _expect_counts(self, answer: Any, size: int, accepted: tuple[int, ...]) -> None:
        found = answer["accepted"], answer["duplicates"], answer["rejected"]
        if found not in [(count, size - count, []) for count in accepted]:
            self.account.differ("answer", f"{found} for a batch of {size}, {accepted} of it new")

    async def _send(
        self, events: list[Event], path: str, content: Any, *, hasty: bool
    ) -> tuple[Any, int]:
        self.account.begin(events)
        first_ms = _now_ms()
        with self._traffic.write(self.account.tenant):
            answer, attempts = await self.http.ask(
                "POST", path, content, HASTY_S if hasty else REQUEST_S_MAX
            )
        self._settle(events, first_ms, [None] * len(events))
        self._again.extend(events)
        return answer, attempts

    async def _casts(self, connection: raydo.Connection) -> None:
        stub = connection.stub(raydo.Analytics, self.account.tenant)
        events = self._events(self._random.choice(BURSTS), named=False)
        self.account.begin(events)
        first_ms = _now_ms()
        ids: Sequence[str | None] = [None] * len(events)
        with self._traffic.write(self.account.tenant):
            promises = [stub.track(self._wire(event)) for event in events]
            if self._random.random() < 0.5:
                ids = await asyncio.gather(*promises)
            else:
                await connection.flush()
        self._settle(events, first_ms, ids)

    def _settle(self, events: list[Event], first_ms: int, ids: Sequence[str | None]) -> None:
        acked_ms = _now_ms()
        self.account.settle(
            Receipt(event, first_ms, acked_ms, told)
            for event, told in zip(events, ids, strict=True)
        )

    async def _read(self) -> None:
        low = self.account.acked
        # What SQL reads is drained first, so it is asked seldom: kills are to find a full log too.
        match self._random.choices(("/stats", "/query", "/dau"), (18, 1, 1))[0]:
            case "/stats":
                answer, _ = await self.http.ask("GET", "/stats")
                found, what = sum(answer["events"].values()), "counted"
            case "/query":
                sql = {"sql": "SELECT count(*) AS n FROM events"}
                answer, _ = await self.http.ask("POST", "/query", sql)
                found, what = answer["rows"][0]["n"], "rows"
            case _:
                answer, _ = await self.http.ask("GET", "/dau?days=7")
                found, what = sum(day["events"] for day in answer), "rolled up"
        self.account.expect_between("read", f"events {what}", low, found, self.account.begun)

    # What they send.

    def _events(self, count: int, *, named: bool) -> list[Event]:
        return [self._event(named=named) for _ in range(count)]

    def _event(self, *, named: bool) -> Event:
        self._made += 1
        random, key = self._random, f"{self.account.tenant}:{self._made}"
        padding = "x" * random.choice((0, 0, 0, 30, 400))
        return Event(
            key,
            random.choice(NAMES),
            f"user-{int(USERS * random.random() ** 2)}",
            self._timestamp_ms(),
            json.dumps({"key": key, "padding": padding}, separators=(",", ":")),
            key if named else None,
        )

    def _timestamp_ms(self) -> int | None:
        luck = self._random.random()
        if luck < 0.2:
            return None
        return _now_ms() - (0 if luck < 0.7 else int(self._random.random() * BACK_S * 1000))

    def _wire(self, event: Event) -> dict[str, Any]:
        wire: dict[str, Any] = {
            "event": event.name,
            "userId": event.user,
            "properties": json.loads(event.properties),
        }
        if event.message_id is not None:
            wire["messageId"] = event.message_id
        if event.timestamp_ms is not None:
            wire["timestamp"] = _spelt(event.timestamp_ms)
        return wire


class Clients:
    """All clients of all tenants; they send between `go` and `rest`."""

    def __init__(self, url: str, accounts: Mapping[str, Account], random: Random) -> None:
        self.traffic = Traffic()
        self.https: dict[str, Http] = {}
        self._url = url
        self._accounts = accounts
        self._random = random
        self._sending = asyncio.Event()
        self._busy = 0
        self._idle = asyncio.Event()

    def go(self) -> None:
        """Let everybody send."""
        self._sending.set()

    async def rest(self) -> None:
        """Let everybody get the answers that they wait for, and then wait."""
        self._sending.clear()
        if self._busy:
            self._idle.clear()
            await self._idle.wait()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Connect them; at the end they are cut off, so let them rest before."""
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=50)
        async with AsyncExitStack() as stack:
            client = httpx.AsyncClient(base_url=self._url, limits=limits, trust_env=False)
            await stack.enter_async_context(client)
            jobs = [
                (account, job)
                for account in self._accounts.values()
                for job in await self._jobs(stack, client, account)
            ]
            workers = [asyncio.create_task(self._work(*each)) for each in jobs]
            try:
                yield
            finally:
                for worker in workers:
                    worker.cancel()
                await asyncio.wait(workers)

    async def _jobs(
        self, stack: AsyncExitStack, client: httpx.AsyncClient, account: Account
    ) -> list[Job]:
        def failed(error: Exception) -> None:
            account.differ("client", f"a cast failed: {error!r}")

        connections = [
            raydo.connect(self._url, timeout_s=ANSWER_S_MAX, on_error=failed) for _ in range(STUBS)
        ]
        for connection in connections:
            await stack.enter_async_context(connection)
        await connections[0].stub(raydo.Analytics, account.tenant).set_settings(zone=account.zone)
        http = self.https[account.tenant] = Http(client, account, self.traffic)
        return Crowd(account, http, self.traffic, self._random).jobs(connections)

    async def _work(self, account: Account, job: Job) -> None:
        while True:
            await self._sending.wait()
            self._busy += 1
            try:
                await job()
            except Exception as error:  # noqa: BLE001 - whatever it was, the round reports it
                account.differ("client", repr(error))
            finally:
                self._busy -= 1
                if not self._busy:
                    self._idle.set()
            await asyncio.sleep(self._random.random() * PAUSE_S_MAX)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _spelt(moment_ms: int) -> int | str:
    """Write a moment as a number or, every other one, as ISO 8601."""
    if moment_ms % 2:
        return moment_ms
    moment = dt.datetime.fromtimestamp(moment_ms // 1000, dt.UTC)
    return moment.replace(microsecond=moment_ms % 1000 * 1000).isoformat()
