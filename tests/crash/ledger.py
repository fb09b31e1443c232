"""The clients' own account: what they were told is safe, and what must therefore be found.

Nothing of raydo is imported here. Every expected number is counted from what was sent, in the
plainest way there is, so that a fault of raydo's cannot hide in the account as well.
"""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

PAGE_VIEW = "PageView"
NAMES = (PAGE_VIEW, "Click", "Signup", "Purchase")
SHOWN_MAX = 8  # differences of one kind that are spelt out


class Event(NamedTuple):
    """One event as a client made it; `key` stands in its properties and names it for good."""

    key: str
    name: str
    user: str
    timestamp_ms: int | None  # None: the moment of its receipt
    properties: str  # JSON text
    message_id: str | None


class Receipt(NamedTuple):
    """An event that was acknowledged, and when: it was received between the two moments."""

    event: Event
    first_ms: int
    acked_ms: int
    told_id: str | None  # None: the answer named none

    def __str__(self) -> str:
        return f"{self.event.key}, acknowledged between {self.first_ms} and {self.acked_ms}"


class Difference(NamedTuple):
    """One thing that a tenant says otherwise than its clients."""

    kind: str
    tenant: str
    text: str


class Account:
    """One tenant's events, as its clients know them."""

    def __init__(self, tenant: str, zone: str) -> None:
        self.tenant = tenant
        self.zone = zone
        self.begun = 0  # events that were sent at least once, so may be there
        self.receipts: dict[str, Receipt] = {}
        self.names: Counter[str] = Counter()
        self.differences: list[Difference] = []
        self._moments: dict[str, int] = {}  # when each happened; known once the rows were read

    @property
    def acked(self) -> int:
        return len(self.receipts)

    def begin(self, events: Iterable[Event]) -> None:
        """Note that events are about to be sent for the first time."""
        self.begun += sum(1 for _ in events)

    def settle(self, receipts: Iterable[Receipt]) -> None:
        """Note that events were acknowledged for the first time."""
        for receipt in receipts:
            assert receipt.event.key not in self.receipts
            self.receipts[receipt.event.key] = receipt
            self.names[receipt.event.name] += 1

    def differ(self, kind: str, text: str) -> None:
        self.differences.append(Difference(kind, self.tenant, text))

    def expect(self, kind: str, what: str, found: Any, expected: Any) -> None:
        """Note a difference unless both are equal."""
        if found != expected:
            self.differ(kind, f"{what}: {_apart(found, expected)}")

    def expect_between(self, kind: str, what: str, low: int, found: Any, high: int) -> None:
        if not (isinstance(found, int) and low <= found <= high):
            self.differ(kind, f"{what}: {found!r}, not between {low} and {high}")

    # Rows.

    def compare_rows(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Compare every row with what was sent: each event once, and nothing else."""
        seen: Counter[str] = Counter()
        for row in rows:
            key = json.loads(row["properties"]).get("key")
            receipt = self.receipts.get(key)
            if receipt is None:
                self.differ("stranger", f"nobody was told of {dict(row)}")
                continue
            seen[key] += 1
            self._moments[key] = row["timestamp"]
            self._compare_row(receipt, row)
        for key in self.receipts.keys() - seen.keys():
            self.differ("lost", str(self.receipts[key]))
        for key, times in seen.items():
            if times > 1:
                self.differ("twice", f"{times} rows of {self.receipts[key]}")

    def _compare_row(self, receipt: Receipt, row: Mapping[str, Any]) -> None:
        event, received_ms = receipt.event, row["received_at"]
        moment_ms = received_ms if event.timestamp_ms is None else event.timestamp_ms
        found = row["event"], row["user_id"], row["timestamp"], row["properties"]
        self.expect("row", event.key, found, (event.name, event.user, moment_ms, event.properties))
        if (own := event.message_id or receipt.told_id) is not None:
            self.expect("row", f"id of {event.key}", row["id"], own)
        what = f"received_at of {event.key}"
        self.expect_between("row", what, receipt.first_ms, received_ms, receipt.acked_ms)

    # What follows from the events. All of these need the rows to have been compared.

    def days(self, zone: str) -> dict[str, tuple[int, int]]:
        """Count users and events by local date."""
        users: defaultdict[str, set[str]] = defaultdict(set)
        events: Counter[str] = Counter()
        for receipt, local in self._happened(zone):
            date = f"{local:%Y-%m-%d}"
            users[date].add(receipt.event.user)
            events[date] += 1
        return {date: (len(users[date]), count) for date, count in events.items()}

    def hours(self, zone: str) -> dict[tuple[str, str], int]:
        """Count events by local hour and name."""
        return dict(
            Counter(
                (f"{local:%Y-%m-%dT%H}:00", receipt.event.name)
                for receipt, local in self._happened(zone)
            )
        )

    def _happened(self, zone: str) -> Iterable[tuple[Receipt, dt.datetime]]:
        rules = ZoneInfo(zone)
        for key, receipt in self.receipts.items():
            yield receipt, dt.datetime.fromtimestamp(self._moment(key) / 1000, rules)

    def _moment(self, key: str) -> int:
        receipt = self.receipts[key]
        return self._moments.get(key, receipt.event.timestamp_ms or receipt.acked_ms)

    def active(self, since_ms: int) -> int:
        """Count users whose latest event is later than a moment."""
        latest = {
            receipt.event.user
            for key, receipt in self.receipts.items()
            if self._moment(key) > since_ms
        }
        return len(latest)

    def page_views(self, since_ms: int) -> int:
        """Count page views later than a moment."""
        return sum(
            receipt.event.name == PAGE_VIEW and self._moment(key) > since_ms
            for key, receipt in self.receipts.items()
        )


def _apart(found: Any, expected: Any) -> str:
    """Say how two values differ; of two mappings, where."""
    if not (isinstance(found, Mapping) and isinstance(expected, Mapping)):
        return f"{found!r}, not {expected!r}"
    keys = [key for key in {**found, **expected} if found.get(key) != expected.get(key)]
    shown = [f"{key}: {found.get(key)!r}, not {expected.get(key)!r}" for key in keys[:SHOWN_MAX]]
    return f"{len(keys)} apart: " + "; ".join(shown)


def shown(differences: Iterable[Difference]) -> list[str]:
    """Spell out the first differences of each kind, and count the rest."""
    of_kind: defaultdict[str, list[Difference]] = defaultdict(list)
    for difference in differences:
        of_kind[difference.kind].append(difference)
    lines = []
    for kind, all_of_it in of_kind.items():
        lines += [f"{kind}: {each.tenant}: {each.text}" for each in all_of_it[:SHOWN_MAX]]
        if (more := len(all_of_it) - SHOWN_MAX) > 0:
            lines.append(f"{kind}: and {more} more")
    return lines
