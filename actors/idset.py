"""Which message ids a tenant received within the last seven days: compact, and exact.

Ids are 128-bit hashes, kept by the day of their receipt. The newest wait in memory (the tail).
When the tail is full, what of it is drained becomes one sorted file a day of receipt; files of one
day and size are merged, and all of a day's files into one once the day is over. A day is dropped
whole when its last moment is seven days old, so an id is known for seven to eight days.

What the caller keeps, so that an id that was acknowledged is known again after any crash:

* an id that `fresh` called new is in the log, in the record of its event and with the day that
  `fresh` was told, before the reply leaves;
* the drain gives `drain` the ids of each record that it takes, in order and with that day, in its
  one transaction, which also moves `drained_seq`. They are stored as rows of `_raydo_ids`, or in a
  file that is on disk before the transaction lists it. Then comes `committed` or `rolled_back`;
* after a crash, `load`; then `fresh` again for each record behind `drained_seq`, in order, with
  its day. Memory is then what it was, since it follows from the records alone, and no record is
  found a duplicate;
* files that no transaction lists any more are removed by `checkpointed`, which is called once
  SQLite is checkpointed and synced: until then a power cut may bring back a transaction that
  lists them.

The memory of a tenant is bounded by the tail and by the ids that wait for the drain. Files are
mapped, so they cost address space and what the page cache can spare.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Final

from raydo.actors.database import Database
from raydo.actors.disk import DRAFT_SUFFIX, Disk
from raydo.actors.failure import is_full
from raydo.actors.idrun import KEY_BYTES, Merge, Run, probes, write_run
from raydo.pipelining.errors import DataUnreadable
from raydo.pipelining.limits import DEDUPE_DAYS, ID_RUNS_PER_LEVEL, IDS_TAIL_MAX

TABLES: Final = (
    """CREATE TABLE IF NOT EXISTS _raydo_ids (
        n INTEGER PRIMARY KEY, day INTEGER NOT NULL, keys BLOB NOT NULL
    )""",
    """CREATE TABLE IF NOT EXISTS _raydo_id_runs (
        name TEXT PRIMARY KEY, day INTEGER NOT NULL
    ) WITHOUT ROWID""",
)
RUN_SUFFIX: Final = ".ids"
_NO_DAY: Final = -(1 << 31)


def id_hash(message_id: bytes) -> bytes:
    """Return what stands for a message id; two of 10^9 ids share one with a chance of 10^-21."""
    return blake2b(message_id, digest_size=KEY_BYTES).digest()


@dataclass(slots=True)
class _Staged:
    """What the open transaction changes, and memory follows when it has committed."""

    sealed: dict[int, list[bytes]] = field(default_factory=dict)  # day -> ids now in a file
    added: list[Run] = field(default_factory=list)
    dropped: list[Run] = field(default_factory=list)
    newest: int = _NO_DAY  # the latest day of a drained id


class IdSet:
    """The message ids of one tenant; `folder` is there already."""

    def __init__(self, database: Database, disk: Disk, folder: Path) -> None:
        self._database = database
        self._disk = disk
        self._folder = folder
        self._tail: dict[bytes, int] = {}  # what is in no file yet -> its day
        self._journal: list[tuple[bytes, int | None, int]] = []  # how to take back, since a drain
        self._runs: list[Run] = []
        self._newest = _NO_DAY  # the latest day of an id; a clock that goes back is not believed
        self._drained = _NO_DAY  # the latest day of a drained id
        self._sealed_on = _NO_DAY
        self._stored = 0  # ids in `_raydo_ids`
        self._number = 0  # of the file written last; no name is ever used twice
        self._staged = _Staged()
        self._garbage: list[str] = []

    def create(self) -> None:
        """Make the tables that are not there yet, inside the open transaction."""
        for statement in TABLES:
            self._database.run(statement)

    def load(self) -> None:
        """Recover what was drained.

        Raises:
            DataUnreadable: a file is missing or damaged.
        """
        for day, keys in self._database.run("SELECT day, keys FROM _raydo_ids ORDER BY n"):
            self._tail.update((key, day) for key in _split(keys))
        names = [name for (name,) in self._database.run("SELECT name FROM _raydo_id_runs")]
        try:
            self._runs = [Run(self._disk, self._folder / name) for name in names]
        except FileNotFoundError as error:
            raise DataUnreadable(f"{error.filename} is gone, and ids were in it.") from error
        days = [*self._tail.values(), *(run.day for run in self._runs)]
        self._newest = self._drained = max(days, default=_NO_DAY)
        self._stored = self._count_stored()
        there = [name for name in self._disk.names(self._folder) if _is_run(name)]
        self._garbage = [name for name in there if name not in names]
        self._number = max((int(name.partition(".")[0]) for name in there), default=0)

    # The turn

    def fresh(self, keys: Sequence[bytes], day: int) -> list[bool]:
        """Say for each id whether it is new within the window, and remember those that are.

        An id that stands twice in `keys` is new once.
        """
        today = max(self._newest, day)
        oldest, tail = today - DEDUPE_DAYS, self._tail
        in_runs = self._in_runs([k for k in keys if tail.get(k, _NO_DAY) < oldest], oldest)
        answers = []
        for key in keys:
            before = tail.get(key)
            new = (before is None or before < oldest) and key not in in_runs
            if new:
                self._journal.append((key, before, self._newest))
                tail[key] = self._newest = today
            answers.append(new)
        return answers

    def mark(self) -> int:
        """Return where the ids of the present call begin; it holds until the next drain."""
        return len(self._journal)

    def since(self, mark: int) -> list[bytes]:
        """List the ids that were remembered since `mark`, in order."""
        return [key for key, _, _ in self._journal[mark:]]

    def rollback(self, mark: int) -> None:
        """Forget what was remembered since `mark`."""
        while len(self._journal) > mark:
            key, before, self._newest = self._journal.pop()
            if before is None:
                del self._tail[key]
            else:
                self._tail[key] = before

    # The drain

    def drain(self, keys: Sequence[bytes], day: int) -> None:
        """Store ids that `fresh` called new on `day`, inside the open transaction."""
        if not keys:
            return
        self._database.begin()
        drained = max(self._drained, self._staged.newest)
        self._staged.newest = today = max(drained, day)  # as `fresh` had it
        if today > drained:
            self._drop_before(today - DEDUPE_DAYS)
        self._database.run(
            "INSERT INTO _raydo_ids (day, keys) VALUES (?, ?)", (today, b"".join(keys))
        )
        self._stored += len(keys)
        if self._stored >= IDS_TAIL_MAX:
            self._seal()

    def adopt(self, merge: Merge) -> None:
        """Let the file of a finished merge replace its inputs, inside the open transaction."""
        assert merge.output is not None, "the merge has not run"
        self._database.begin()
        current = set(map(id, self._current_runs()))
        if all(id(run) in current for run in merge.inputs):
            self._list(merge.output)
            self._unlist(list(merge.inputs))
        else:
            self._garbage.append(merge.path.name)

    def committed(self) -> None:
        """Follow the transaction that was just committed."""
        staged, self._staged = self._staged, _Staged()
        self._journal.clear()
        for day, keys in staged.sealed.items():
            self._sealed_on = max(self._sealed_on, day)
            self._leave_tail(day, keys)
        gone = {id(run) for run in staged.dropped}
        self._runs = [run for run in (*self._runs, *staged.added) if id(run) not in gone]
        self._garbage += [run.path.name for run in staged.dropped]
        if staged.newest > self._drained:
            self._drained = staged.newest
            oldest = self._drained - DEDUPE_DAYS
            self._tail = {key: day for key, day in self._tail.items() if day >= oldest}

    def rolled_back(self) -> None:
        """Forget what the transaction would have changed."""
        self._garbage += [run.path.name for run in self._staged.added]
        self._staged = _Staged()
        self._stored = self._count_stored()

    def checkpointed(self) -> None:
        """Remove the files that nothing refers to, now that no power cut brings a reference back."""
        there = set(self._disk.names(self._folder))
        for name in self._garbage:
            if name in there:
                self._disk.step("idset.before_unlink")
                self._disk.unlink(self._folder / name)
        self._garbage.clear()

    def merge_due(self) -> Merge | None:
        """Return files that should become one: run the merge anywhere, then `adopt` it."""
        groups: defaultdict[tuple[int, int], list[Run]] = defaultdict(list)
        for run in self._runs:
            over = run.day < self._sealed_on  # its ids are all in files
            groups[run.day, -1 if over else _level(run.count)].append(run)
        for (_, level), runs in groups.items():
            if len(runs) >= (2 if level < 0 else ID_RUNS_PER_LEVEL):
                return Merge(self._disk, self._next_path(), tuple(runs))
        return None

    def _in_runs(self, keys: list[bytes], oldest: int) -> set[bytes]:
        found: set[bytes] = set()
        runs = [run for run in self._runs if run.day >= oldest]
        if keys and runs:
            batch = probes(keys)
            for run in runs:
                found |= run.known(batch)
        return found

    def _drop_before(self, oldest: int) -> None:
        self._database.run("DELETE FROM _raydo_ids WHERE day < ?", (oldest,))
        self._unlist([run for run in self._current_runs() if run.day < oldest])
        self._stored = self._count_stored()

    def _seal(self) -> None:
        """Move the stored ids from rows to one file a day, if there is room for files."""
        days: defaultdict[int, list[bytes]] = defaultdict(list)
        for day, stored in self._database.run("SELECT day, keys FROM _raydo_ids ORDER BY n"):
            days[day] += _split(stored)
        runs: list[Run] = []
        try:
            for day, keys in days.items():
                chunk = b"".join(sorted(keys))
                runs.append(write_run(self._disk, self._next_path(), day, len(keys), [chunk]))
        except OSError as error:
            if not is_full(error):
                raise
            # As rows they count as well, and who only reads must not fail for want of room.
            self._garbage += [run.path.name for run in runs]
            return
        for run in runs:
            self._staged.sealed.setdefault(run.day, []).extend(days[run.day])
            self._list(run)
        self._database.run("DELETE FROM _raydo_ids")
        self._stored = 0

    def _leave_tail(self, day: int, keys: list[bytes]) -> None:
        for key in keys:
            if self._tail.get(key) == day:  # else it was received anew, and that is not drained
                del self._tail[key]

    def _current_runs(self) -> Iterator[Run]:
        """List the files as the open transaction sees them."""
        gone = {id(run) for run in self._staged.dropped}
        return (run for run in (*self._runs, *self._staged.added) if id(run) not in gone)

    def _list(self, run: Run) -> None:
        self._database.run("INSERT INTO _raydo_id_runs VALUES (?, ?)", (run.path.name, run.day))
        self._staged.added.append(run)

    def _unlist(self, runs: list[Run]) -> None:
        names = [(run.path.name,) for run in runs]
        self._database.run_many("DELETE FROM _raydo_id_runs WHERE name = ?", names)
        self._staged.dropped += runs

    def _count_stored(self) -> int:
        stored_bytes: int = self._database.run(
            "SELECT coalesce(sum(length(keys)), 0) FROM _raydo_ids"
        )[0][0]
        return stored_bytes // KEY_BYTES

    def _next_path(self) -> Path:
        self._number += 1
        return self._folder / f"{self._number:08d}{RUN_SUFFIX}"


def _split(keys: bytes) -> list[bytes]:
    return [keys[at : at + KEY_BYTES] for at in range(0, len(keys), KEY_BYTES)]


def _is_run(name: str) -> bool:
    number, _, suffix = name.removesuffix(DRAFT_SUFFIX).partition(".")
    return number.isdigit() and f".{suffix}" == RUN_SUFFIX


def _level(count: int) -> int:
    """Return 0 for a file that one seal makes, 1 for what four of them become, and so on."""
    level = 0
    while count >= IDS_TAIL_MAX * ID_RUNS_PER_LEVEL ** (level + 1):
        level += 1
    return level
