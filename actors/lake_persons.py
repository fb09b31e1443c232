"""What the archive has of some users, counted as the rollups count it; nothing is changed.

An erasure has to know it before the files are written anew: afterwards nobody could tell any more by
how much each bucket has to become less.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pyarrow as pa

from raydo.actors.buckets import BUCKET_MS
from raydo.actors.event import BOT
from raydo.actors.lake_erasure import theirs
from raydo.actors.lake_snapshots import live_files, read
from raydo.actors.lake_table import opened

if TYPE_CHECKING:
    from raydo.actors.lake import Lake

_COLUMNS: Final = ("user_id", "anonymous_id", "timestamp", "event", "flags")

Visit = tuple[int, str, str | None, bool]  # the moment a bucket begins, event, user_id, bot


class Traces(NamedTuple):
    """How many rows of each kind go, and which rows of others stay."""

    gone: dict[Visit, int]
    stay: dict[Visit, int]


def traces(lake: Lake, users: Collection[str], others: Collection[str]) -> Traces:
    """Count the rows of `users`, and of those who share some of them with one of these.

    `others` are such people that are known already.
    """
    gone: Counter[Visit] = Counter()
    stay: Counter[Visit] = Counter()
    with opened(lake) as table:
        snapshot = None if table is None else table.current_snapshot()
        if table is None or snapshot is None:
            return Traces({}, {})
        paths = [file.file_path for file in live_files(table, snapshot)]
        wanted = pa.array(sorted(users), pa.string())
        for batch in read(table.io, paths, _COLUMNS):
            gone.update(_visits(batch.filter(theirs(batch, wanted)).to_pylist()))
        sharing = {user for _, _, user, _ in gone if user is not None} | set(others)
        sharing -= set(users)
        if sharing:
            also = pa.array(sorted(sharing), pa.string())
            for batch in read(table.io, paths, _COLUMNS):
                rows = batch.filter(theirs(batch, also)).to_pylist()
                left = [row for row in rows if row["anonymous_id"] not in users]
                stay.update(_visits(left))
    return Traces(dict(gone), dict(stay))


def _visits(rows: Iterable[dict[str, Any]]) -> Iterable[Visit]:
    for row in rows:
        ms = int(row["timestamp"].timestamp() * 1_000)
        bucket_ms = ms // BUCKET_MS * BUCKET_MS
        yield bucket_ms, row["event"], row["user_id"], bool(row["flags"] & BOT)
