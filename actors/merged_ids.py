"""The table `merged_ids`: each id that is another person's, and whose.

It holds merged ids only, so that reading who an event's user is costs nothing while nobody was
merged, and little after that. Anybody's SQL may read it; `events.person_id` does.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Final

from raydo.actors.lookups import lookups

if TYPE_CHECKING:
    from raydo.actors.database import Database
    from raydo.actors.links import Join

TABLES: Final = (
    """CREATE TABLE IF NOT EXISTS merged_ids (
        id TEXT PRIMARY KEY, person_id TEXT NOT NULL
    ) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS _raydo_merged_by_person ON merged_ids (person_id)",
)


class MergedIds:
    """Keep the table."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def exist(self) -> bool:
        """Say whether anything was ever merged."""
        return bool(self._database.run("SELECT 1 FROM main.merged_ids LIMIT 1"))

    def persons(self, ids: Sequence[str]) -> dict[str, str]:
        """Return the person of each of some ids that were merged."""
        return dict(
            row
            for marks, keys in lookups(ids)
            for row in self._database.run(
                f"SELECT id, person_id FROM main.merged_ids WHERE id IN ({marks})",  # noqa: S608 - question marks
                keys,
            )
        )

    def joined(self, persons: Sequence[str]) -> set[str]:
        """Return those of some ids that others were merged into."""
        return {
            row[0]
            for marks, keys in lookups(persons)
            for row in self._database.run(
                f"SELECT DISTINCT person_id FROM main.merged_ids WHERE person_id IN ({marks})",  # noqa: S608 - question marks
                keys,
            )
        }

    def ids(self, person: str) -> list[str]:
        """List the ids that were merged into a person, in order."""
        rows = self._database.run(
            "SELECT id FROM main.merged_ids WHERE person_id = ? ORDER BY id", (person,)
        )
        return [each for (each,) in rows]

    def move(self, moves: Iterable[Join]) -> None:
        """Let each id, and all that were merged into it, be merged into another person."""
        moves = list(moves)
        self._database.run_many(
            "UPDATE main.merged_ids SET person_id = ? WHERE person_id = ?",
            [(person, previous) for previous, person in moves],
        )
        self._database.run_many("INSERT INTO main.merged_ids VALUES (?, ?)", moves)

    def remove(self, ids: Collection[str]) -> None:
        """Forget ids."""
        self._database.run_many(
            "DELETE FROM main.merged_ids WHERE id = ?", [(each,) for each in ids]
        )
