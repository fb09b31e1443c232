"""The names of events as small numbers, for the counts by bucket and name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from raydo.actors.database import Database
from raydo.pipelining.limits import EVENT_NAMES_MAX

OTHER_EVENTS: Final = 0  # what further event names count as, once there are too many

TABLES: Final = (
    "CREATE TABLE IF NOT EXISTS _raydo_names (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)",
    "INSERT OR IGNORE INTO _raydo_names VALUES (0, '(other)')",
)


class EventNames:
    """Give each event name a small number, up to a limit."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._ids: dict[str, int] = {}

    def ids(self, names: Iterable[str]) -> Mapping[str, int]:
        """Return the number of each name; names not met before get one while there is room."""
        if not self._ids:
            self._ids = dict(self._database.run("SELECT name, id FROM _raydo_names"))
        known = self._ids
        missing = [name for name in dict.fromkeys(names) if name not in known]
        new = missing[: max(0, EVENT_NAMES_MAX + 1 - len(known))]  # one is OTHER_EVENTS itself
        if new:
            rows = list(enumerate(new, start=len(known)))
            self._database.run_many("INSERT INTO _raydo_names VALUES (?, ?)", rows)
            known.update((name, number) for number, name in rows)
        return known

    def known(self) -> Mapping[str, int]:
        """Return the number of each name that has one."""
        return self.ids(())

    def forget(self) -> None:
        """Drop what is in memory: it may differ from what is stored."""
        self._ids = {}
