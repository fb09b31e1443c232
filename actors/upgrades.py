"""How a tenant's file of an earlier schema becomes one of the present schema.

Each step belongs to the version that it leads to, and is for good once that version is released: a
file of any earlier version takes all steps after its own, in order, in one transaction, when its
tenant wakes. A crash before the commit leaves the file as it was.

A step is only for what an existing file lacks; `schema` says what a new one has. When a released
step's tables change, the step keeps its statements as they were, and another step follows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from raydo.actors import audit, cohort_table, erasures, merged_ids

if TYPE_CHECKING:
    from collections.abc import Sequence

    from raydo.actors.database import Database

FIRST_VERSION: Final = 7  # the oldest that can be upgraded


class Upgrade(NamedTuple):
    """The step to a version."""

    version: int
    statements: Sequence[str]


UPGRADES: Final = (
    # Who is who begins here, events of before linked nobody; and who did what, and who is gone.
    Upgrade(
        8,
        (*merged_ids.TABLES, *audit.TABLES, *erasures.TABLES, *cohort_table.TABLES),
    ),
)


def upgrade(database: Database, version: int) -> None:
    """Take every step after `version`, in one transaction."""
    steps = [step for step in UPGRADES if step.version > version]
    if not steps:
        return
    database.begin()
    for step in steps:
        for statement in step.statements:
            database.run(statement)
    database.run(
        "UPDATE _raydo_meta SET value = ? WHERE key = 'schema_version'", (steps[-1].version,)
    )
    database.commit()
