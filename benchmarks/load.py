"""Put HTTP load on one loopback address: prepared requests, keep-alive connections, one event loop.

The loop and the parsing of replies are as small as they can be in Python, since client and server
share the machine's cores; what the client itself costs stands in each row as `client_cpu_s`.
"""

from __future__ import annotations

import asyncio
import json
import random
import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlsplit

NAMES = ["PageView"] * 3 + ["Click"] * 2 + ["Signup", "Search", "Purchase"]
PAGES = ["/", "/pricing", "/docs/start", "/blog/launch", "/account"]


@dataclass(frozen=True, slots=True)
class Load:
    """Hold what one run measured."""

    requests: int
    failed: int
    elapsed_s: float
    latencies_ms: list[float]
    client_cpu_s: float

    def quantile_ms(self, q: float) -> float:
        ordered = sorted(self.latencies_ms)
        return ordered[min(len(ordered) - 1, int(len(ordered) * q))] if ordered else 0.0


def event(r: random.Random) -> dict[str, Any]:
    """Make one event of an ordinary web product, about 230 bytes of JSON."""
    return {
        "event": r.choice(NAMES),
        "properties": {
            "userId": f"user-{r.randint(1, 5000):05d}",
            "page": r.choice(PAGES),
            "referrer": "https://www.example.com/search?q=product",
            "sessionId": f"s-{r.getrandbits(64):016x}",
            "country": r.choice(["DE", "US", "FR", "JP", "BR", "IN"]),
            "durationMs": r.randint(1000, 9999),
        },
    }


def request(method: str, path: str, tenant: str, body: Any = None) -> bytes:
    """Write one HTTP/1.1 request."""
    payload = b"" if body is None else json.dumps(body, separators=(",", ":")).encode()
    head = f"{method} {path} HTTP/1.1\r\nhost: localhost\r\nx-tenant: {tenant}\r\n"
    if body is not None:
        head += f"content-type: application/json\r\ncontent-length: {len(payload)}\r\n"
    return head.encode() + b"\r\n" + payload


class _Connection(asyncio.Protocol):
    """Send the next prepared request whenever a reply is complete."""

    def __init__(self, run: _Run) -> None:
        self.run = run
        self.buffer = b""
        self.sent_s = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name
        self._send()

    def _send(self) -> None:
        self.sent_s = time.perf_counter()
        if self.sent_s >= self.run.end_s:
            self.transport.close()
            return
        self.transport.write(self.run.next_request())

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head_end = self.buffer.find(b"\r\n\r\n")
        if head_end < 0:
            return
        head = self.buffer[:head_end].lower()
        at = head.find(b"content-length:")
        size = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(self.buffer) < head_end + 4 + size:
            return
        self.buffer = b""
        self.run.done(time.perf_counter() - self.sent_s, ok=head.startswith(b"http/1.1 200"))
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's name
        self.run.closed()


class _Run:
    def __init__(self, pool: Sequence[bytes], connections: int, seconds: float) -> None:
        self.pool, self.at, self.open = pool, 0, connections
        self.end_s = time.perf_counter() + seconds
        self.latencies_ms: list[float] = []
        self.failed = 0
        self.finished = asyncio.get_running_loop().create_future()

    def next_request(self) -> bytes:
        self.at += 1
        return self.pool[self.at % len(self.pool)]

    def done(self, elapsed_s: float, *, ok: bool) -> None:
        self.latencies_ms.append(elapsed_s * 1e3)
        self.failed += not ok

    def closed(self) -> None:
        self.open -= 1
        if not self.open and not self.finished.done():
            self.finished.set_result(None)


async def _drive(url: str, pool: Sequence[bytes], connections: int, seconds: float) -> Load:
    address, loop = urlsplit(url), asyncio.get_running_loop()
    run, cpu_s, start_s = _Run(pool, connections, seconds), _cpu_s(), time.perf_counter()
    for _ in range(connections):
        await loop.create_connection(lambda: _Connection(run), address.hostname, address.port)
    await asyncio.wait_for(run.finished, seconds + 60)
    elapsed_s = time.perf_counter() - start_s
    return Load(len(run.latencies_ms), run.failed, elapsed_s, run.latencies_ms, _cpu_s() - cpu_s)


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def drive(url: str, pool: Sequence[bytes], *, connections: int, seconds: float) -> Load:
    """Send the prepared requests in turn over `connections` for `seconds`; one request in flight each."""
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_drive(url, pool, connections, seconds))
