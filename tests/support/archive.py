"""A tenant with an archive: some events in Iceberg, some in SQLite, written as raydo writes them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raydo.actors.answers import Answers
from raydo.actors.lake import Lake
from raydo.actors.lake_archive import archive
from raydo.actors.lake_rows import TenantRows
from raydo.actors.lake_runs import Runs
from raydo.actors.question import PRESENT, AsOf, Question
from raydo.actors.rollups import RolledEvent, Rollups
from raydo.actors.schema import open_database
from raydo.actors.stop import Stop

NEW_YORK = "America/New_York"
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
START_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z, still 2025 in New York


@dataclass(frozen=True)
class Event:
    seq: int
    at_ms: int
    event: str
    user: str | None
    properties: dict[str, Any]
    appended_ms: int = 0


class Tenant:
    """Write events, archive them, ask about them."""

    def __init__(self, folder: Path, zone: str = NEW_YORK) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.path = folder / "tenant.db"
        self.zone = zone
        self.lake = Lake(folder, "acme")
        self.database = open_database(self.path)
        self.runs = Runs(self.database)
        self.rollups = Rollups(self.database)
        self.answers = Answers(lambda: None)

    def write(self, events: Iterable[Event]) -> None:
        events = list(events)
        self.database.run_many(
            "INSERT INTO raw_events (seq, id, event, user_id, anonymous_id, timestamp, received_at,"
            " properties, context, stream, flags, appended_at)"
            " VALUES (?, ?, ?, ?, NULL, ?, ?, ?, NULL, 'analytics', 0, ?)",
            [
                (
                    e.seq,
                    f"id{e.seq}",
                    e.event,
                    e.user,
                    e.at_ms,
                    e.at_ms,
                    json.dumps(e.properties, ensure_ascii=False),
                    e.appended_ms or e.at_ms,
                )
                for e in events
            ],
        )
        self.rollups.apply(RolledEvent(e.at_ms, e.event, e.user, False) for e in events)
        self.rollups.materialise(self.zone)
        self.database.commit()

    def plan(self, before_ms: int) -> Any:
        run = self.runs.plan(before_ms, before_ms, rows_min=1)
        self.database.commit()
        return run

    def commit(self, run: Any) -> Any:
        return archive(self.lake, run, TenantRows(self.path))

    def settle(self, committed: Any, rows: int = 1_000_000) -> None:
        self.runs.settle(committed, committed.run, rows=rows)
        self.database.commit()

    def archive(self, before_ms: int) -> None:
        run = self.plan(before_ms)
        if run is not None:
            self.settle(self.commit(run))

    def question(
        self,
        sql: str,
        params: Any = None,
        *,
        limit: int | None = None,
        as_of: AsOf = PRESENT,
        archive: bool = True,
    ) -> Question:
        lake = self.lake if archive else None
        return Question(self.path, self.zone, sql, params, limit, as_of, lake)

    def ask(self, sql: str, params: Any = None, **more: Any) -> dict[str, Any]:
        try:
            return self.answers.answer(self.question(sql, params, **more), Stop(5))
        finally:
            self.answers.tidy()

    def rows(self, sql: str, params: Any = None, **more: Any) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.ask(sql, params, **more)["rows"]
        return rows

    def close(self) -> None:
        self.answers.close()
        self.database.close()


def hourly(count: int, first: int = 1) -> list[Event]:
    """Make one event an hour: three users, two names, properties of every type."""
    return [
        Event(
            seq=n,
            at_ms=START_MS + n * HOUR_MS,
            event="PageView" if n % 2 else "Signup",
            user=f"u{n % 3}",
            properties={
                "n": n,
                "half": n / 2,
                "plan": "pro" if n % 3 == 0 else "free",
                "paid": n % 4 == 0,
                "none": None,
                "deep": {"list": [n, "x"]},
            },
        )
        for n in range(first, first + count)
    ]
