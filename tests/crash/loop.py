"""Kill the real server's processes at random moments while real clients send, and settle accounts.

    PYTHONPATH=tests python -m crash.loop --rounds 300 --seed 7

A round lets the clients send, kills, waits until whatever was under way has its answer, lets the
clients rest and compares the totals. At the end each row, counter and rollup is compared with the
clients' own account. The seed decides what is killed, when, and
what is sent; what the machine's scheduler makes of it, it does not.

A kill takes nothing away that the kernel has, so a missing sync is for the simulation to find.
This shows that the whole of it, processes and all, holds together.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from math import inf
from pathlib import Path
from random import Random

from crash.audit import compare_all, compare_counts, compare_file
from crash.clients import Clients
from crash.ledger import Account, Difference, shown
from crash.report import Kill, Round, line, summary
from crash.server import PROC, Process, Server, end

from raydo.actors.tenant import folder
from raydo.pipelining.noun import Noun

HOST = "host"  # one tenant's process
TWICE = "twice"  # the same, and its successor while that recovers
NAP = "nap"  # one tenant's process, as it wakes from its sleep or has not yet fallen asleep
ALL = "all"  # every tenant's process
GATEWAY = "gateway"  # the server, and with it the Ray that it started
START = "start"  # the server, and its successor while that starts
WEIGHTS = {HOST: 62, TWICE: 10, NAP: 10, ALL: 8, GATEWAY: 9, START: 1}
EMBEDDED = (GATEWAY, START)  # what there is to kill without Ray

ZONES = {"acme": "UTC", "globex": "America/New_York", "umbrella/eu": "Asia/Kathmandu"}
SENDING_S_MAX = 0.8  # from the clients' start to the kill
IDLE_S = 1.0  # after which a tenant sleeps
WAKING_S_MAX = 0.05
UNDER_WAY_S_MAX = 0.5  # how long a kill waits for somebody to be hit
BREATH_S_MAX = 0.03
CUT_S = 0.1  # what has no answer so long after a kill was cut off by it
HOST_S_MAX = 120.0
RECOVERING_S_MAX = 0.2  # from a host's hold on the data folder to its kill
STARTING_S_MAX = 12.0
UNDER_WAY_SHARE_MIN = 0.8


class Loop:
    """One run against one server, which whoever made it starts and stops."""

    def __init__(
        self, server: Server, zones: Mapping[str, str], seed: int, say: Callable[[str], None]
    ) -> None:
        self.server = server
        self.accounts = {tenant: Account(tenant, zone) for tenant, zone in zones.items()}
        self.rounds: list[Round] = []
        self._random = Random(seed)
        self._say = say
        self.clients = Clients(server.url, self.accounts, Random(seed + 1))

    @property
    def kills(self) -> list[Kill]:
        return [kill for each in self.rounds for kill in each.kills]

    @property
    def under_way_share(self) -> float:
        """How many of the kills met writes that waited for their answer."""
        return sum(kill.under_way > 0 for kill in self.kills) / max(1, len(self.kills))

    @property
    def differences(self) -> list[Difference]:
        return [each for account in self.accounts.values() for each in account.differences]

    async def run(self, kinds: Iterable[str]) -> None:
        """Run a round of each kind as long as nothing differs, then compare everything."""
        async with self.clients.open():
            for number, kind in enumerate(kinds, 1):
                await self._round(number, kind)
                if self.differences:
                    break
            for tenant, account in self.accounts.items():
                await compare_all(self.clients.https[tenant], account)

    def compare_files(self) -> None:
        """Compare the tenants' files, which nobody may have open any more."""
        for tenant, account in self.accounts.items():
            compare_file(self._folder(tenant) / "tenant.db", account)

    async def _round(self, number: int, kind: str) -> None:
        if kind == NAP:
            await asyncio.sleep(IDLE_S * (0.8 + self._random.random()))
        self.clients.go()
        await asyncio.sleep(
            self._random.random() * (WAKING_S_MAX if kind == NAP else SENDING_S_MAX)
        )
        began_s = time.monotonic()
        target, kills = await self._kill(kind)
        await self.clients.rest()  # everybody has an answer, so everything has recovered
        recovery_s = time.monotonic() - began_s
        for tenant, account in self.accounts.items():
            await compare_counts(self.clients.https[tenant], account)
        events = sum(account.acked for account in self.accounts.values())
        self.rounds.append(Round(number, kind, target, kills, recovery_s, events))
        self._say(line(self.rounds[-1], len(self.differences)))

    async def _kill(self, kind: str) -> tuple[str, list[Kill]]:
        """Kill what a round of this kind kills, and name its target."""
        if kind in {GATEWAY, START}:
            return "everybody", await self._kill_gateway(again=kind == START)
        if kind == ALL:
            return "everybody", [await self._kill_host(tenant) for tenant in self.accounts]
        tenant = self._random.choice(list(self.accounts))
        before = self.server.processes()
        kills = [await self._kill_host(tenant)]
        if kind == TWICE:
            kills.append(await self._kill_successor(tenant, before))
        return tenant, kills

    async def _kill_gateway(self, *, again: bool) -> list[Kill]:
        tenants = list(self.accounts)
        await self._somebody_waits(tenants)
        under_way = self.clients.traffic.under_way(tenants)
        kills = [Kill(GATEWAY, self.server.kill(), len(under_way), await self._cut(under_way))]
        self.server.start()
        if again:
            await asyncio.sleep(self._random.random() * STARTING_S_MAX)
            waiting = len(self.clients.traffic.under_way(tenants))
            kills.append(Kill(GATEWAY, self.server.kill(), waiting, waiting))
            self.server.start()
        await self.server.ready()
        return kills

    async def _kill_host(self, tenant: str) -> Kill:
        path = self._folder(tenant)
        while True:
            host = await self._first(partial(self.server.hosts, path))
            await self._somebody_waits([tenant])
            under_way = self.clients.traffic.under_way([tenant])
            if end(host):
                return Kill(HOST, host, len(under_way), await self._cut(under_way))

    async def _kill_successor(self, tenant: str, before: set[Process]) -> Kill:
        """Kill what takes a killed host's place, somewhere between its start and its first answer."""
        host = await self._first(lambda: self.server.processes() - before)
        await asyncio.sleep(self._random.random() * RECOVERING_S_MAX)
        under_way = self.clients.traffic.under_way([tenant])
        if not end(host):
            raise RuntimeError(f"the new host of {tenant} ended by itself: {self.server.tail()}")
        return Kill(HOST, host, len(under_way), await self._cut(under_way))

    async def _first(self, find: Callable[[], Iterable[Process]]) -> Process:
        deadline = time.monotonic() + HOST_S_MAX
        while time.monotonic() < deadline:
            for host in find():
                return host
            await asyncio.sleep(0.001)
        raise RuntimeError(f"no host was started: {self.server.tail()}")

    def _folder(self, tenant: str) -> Path:
        return folder(self.server.data, Noun("Analytics", tenant))

    async def _somebody_waits(self, tenants: Sequence[str]) -> None:
        # The search for the host held this loop up: answers that came meanwhile are taken first.
        await asyncio.sleep(self._random.random() * BREATH_S_MAX)
        deadline = time.monotonic() + UNDER_WAY_S_MAX
        while time.monotonic() < deadline and not self.clients.traffic.under_way(tenants):  # noqa: ASYNC110 - writes come and go
            await asyncio.sleep(0.001)

    async def _cut(self, under_way: set[int]) -> int:
        """Count the writes among these that the kill left without an answer."""
        await asyncio.sleep(CUT_S)
        return len(under_way & self.clients.traffic.under_way(list(self.accounts)))


def kinds(seed: int, among: Sequence[str]) -> Iterator[str]:
    """Choose what each round kills, without end."""
    random = Random(seed)
    while True:
        yield random.choices(among, [WEIGHTS[kind] for kind in among])[0]


def _until(kinds: Iterator[str], seconds: float) -> Iterator[str]:
    deadline = time.monotonic() + seconds
    for kind in kinds:
        if time.monotonic() > deadline:
            return
        yield kind


async def crash(loop: Loop, chosen: Iterable[str]) -> None:
    """Start the server, run, and stop the server; nothing of it is left afterwards."""
    try:
        loop.server.start()
        await loop.server.ready()
        await loop.run(chosen)
        await loop.server.stop()
    finally:
        await loop.server.sweep()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; 0 if the accounts agree, 1 if not, 2 if it cannot run here."""
    options = _options(arguments)
    say = partial(print, flush=True)
    if not PROC.exists():
        say("This finds its victims in /proc, which this system lacks.")
        return 2
    work = Path(tempfile.mkdtemp(prefix="raydo-crash-"))
    chosen = EMBEDDED if options.embedded else options.kinds
    rounds = islice(kinds(options.seed, chosen), options.rounds)
    flags = ["--idle-seconds", str(IDLE_S), *(["--embedded"] if options.embedded else [])]
    server = Server(work / "data", work, flags, {"RAY_TMPDIR": str(work)})
    loop = Loop(server, ZONES, options.seed, say)
    say(f"seed {options.seed}, up to {options.rounds} rounds, in {work}")
    began_s = time.monotonic()
    failure = _run(loop, _until(rounds, options.seconds_max))
    for row in summary(loop.rounds, loop.accounts.values(), loop.clients.traffic):
        say(row)
    say(f"{time.monotonic() - began_s:.0f} s")
    return _verdict(loop, failure, work, say)


def _run(loop: Loop, chosen: Iterable[str]) -> str | None:
    """Run to the end, and say why that could not be."""
    try:
        asyncio.run(crash(loop, chosen))
        loop.compare_files()
    except (RuntimeError, sqlite3.Error) as error:
        return str(error)
    return None


def _verdict(loop: Loop, failure: str | None, work: Path, say: Callable[[str], None]) -> int:
    wrong = shown(loop.differences)
    if failure is not None:
        wrong.append(f"not finished: {failure}")
    if loop.under_way_share < UNDER_WAY_SHARE_MIN:
        wrong.append(f"only {loop.under_way_share:.0%} of the kills met a request under way")
    for text in wrong:
        say(text)
    if wrong:
        say(f"DIFFERENT. The data and the server's log stay in {work}")
        return 1
    shutil.rmtree(work)
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="crash.loop",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000))
    parser.add_argument("--seconds-max", type=float, default=inf, help="begin no round after these")
    parser.add_argument("--kinds", nargs="+", choices=WEIGHTS, default=list(WEIGHTS))
    parser.add_argument("--embedded", action="store_true", help="without Ray, the gateway only")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
