"""Requests that are sent until they are answered, and the count of those under way."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import httpx
from crash.ledger import Account

REQUEST_S_MAX = 10.0
ANSWER_S_MAX = 240.0  # no restart takes this long
RETRIED = {429, 503, 504, 507}  # 500 is not among them: it would be a fault of the server's


class Traffic:
    """What all clients together sent, what is under way, and how it was answered."""

    def __init__(self) -> None:
        self.answers: Counter[str] = Counter()
        self.retries = 0
        self.repeated = 0  # events that were sent again after they had been acknowledged
        self._under_way: dict[int, str] = {}  # writes without an answer, and their tenants
        self._next = 0

    @contextmanager
    def write(self, tenant: str) -> Iterator[None]:
        """Count a write as under way, its retries included."""
        self._next += 1
        number = self._next
        self._under_way[number] = tenant
        try:
            yield
        finally:
            del self._under_way[number]

    def under_way(self, tenants: Sequence[str]) -> set[int]:
        """Name the writes that wait for an answer now."""
        return {number for number, tenant in self._under_way.items() if tenant in tenants}


class Http:
    """Requests of one tenant, each sent until it is answered."""

    def __init__(self, client: httpx.AsyncClient, account: Account, traffic: Traffic) -> None:
        self._client = client
        self._account = account
        self._traffic = traffic

    async def ask(
        self, method: str, path: str, content: Any = None, first_s: float = REQUEST_S_MAX
    ) -> tuple[Any, int]:
        """Return the answer and how often it was asked for; the first time for `first_s` only.

        Raises:
            RuntimeError: refused for good, or not answered in time.
        """
        deadline, timeout_s, attempts = time.monotonic() + ANSWER_S_MAX, first_s, 1
        while True:
            said = await self._attempt(method, path, content, timeout_s)
            if not isinstance(said, str):
                return said, attempts
            if time.monotonic() > deadline:
                raise RuntimeError(f"{method} {path} had no answer; at last {said}")
            self._traffic.retries += 1
            await asyncio.sleep(min(0.02 * 2 ** min(attempts, 10), 0.5))
            attempts, timeout_s = attempts + 1, REQUEST_S_MAX

    async def _attempt(self, method: str, path: str, content: Any, timeout_s: float) -> Any:
        """Ask once; a text says why there is no answer."""
        headers = {"x-tenant": self._account.tenant}
        try:
            answer = await self._client.request(
                method, path, headers=headers, json=content, timeout=timeout_s
            )
        except httpx.TransportError as error:
            said = type(error).__name__
        else:
            if answer.status_code == 200:
                self._traffic.answers["200"] += 1
                return answer.json()
            said = f"{answer.status_code} {answer.json().get('code')}"
            if answer.status_code not in RETRIED:
                raise RuntimeError(f"{method} {path}: {answer.text}")
        self._traffic.answers[said] += 1
        return said
