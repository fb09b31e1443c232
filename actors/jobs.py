"""Work that an object gives away: slow or foreign things that no turn may wait for.

`self.background(fn, *args, then=self.on_done)` belongs to its call, like an event: it is on disk with it,
begins after it, and is gone when the call raises. The function runs in another process at least once: a
crash begins it again, so what it does outside should bear that. `then` runs in a turn of the object,
in one transaction with the job's end: it has its effects once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from raydo.actors import catalog, handlers
from raydo.pipelining.codec import pack, unpack
from raydo.pipelining.errors import InvalidArgument, ObjectFailed, OutboxFull, RaydoError
from raydo.pipelining.limits import JOBS_MAX

if TYPE_CHECKING:
    from raydo.actors.database import Database

TABLE: Final = "CREATE TABLE _raydo_jobs (n INTEGER PRIMARY KEY, work BLOB NOT NULL)"

Row = tuple[int, bytes | None]  # None: it is done


class Work(NamedTuple):
    """One piece of work, as it is kept."""

    n: int
    function: str  # `module:name`
    args: list[Any]
    then: str | None  # the names of handlers
    failed: str | None


class Order(NamedTuple):
    """What the process that does it is given."""

    paths: tuple[str, ...]  # where it finds modules
    function: str
    args: list[Any]


class Jobs:
    """Keep what was given away until its end is on disk, and give it out once it is on disk."""

    def __init__(self, database: Database) -> None:
        self._all: dict[int, Work] = {}
        self._ready: list[Work] = []
        self._journal: list[tuple[int, Work | None]] = []  # numbers and what stood there before
        [(last,)] = database.run("SELECT coalesce(max(n), 0) FROM _raydo_jobs")
        self._last: int = last
        for n, work in database.run("SELECT n, work FROM _raydo_jobs ORDER BY n"):
            self._all[n] = Work(n, *unpack(work))
            self._ready.append(self._all[n])

    def add(
        self,
        owner: object,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        then: Callable[..., Any] | None,
        failed: Callable[..., Any] | None,
    ) -> None:
        """Let a function run elsewhere once the present call is on disk.

        Raises:
            InvalidArgument: another process could not find the function, the handlers or the values.
            OutboxFull: JOBS_MAX are not done yet.
        """
        if len(self._all) >= JOBS_MAX:
            raise OutboxFull(f"{len(self._all):,} functions of this object are not done yet.")
        names = [
            None if each is None else handlers.method_of(owner, each) for each in (then, failed)
        ]
        packed = unpack(pack(list(args)))  # as they are now; what cannot travel is refused now
        self._last += 1
        self._put(self._last, Work(self._last, _name_of(function), packed, *names))

    def done(self, n: int) -> Work | None:
        """Let a job be over with the present call; None when it is already."""
        job = self._all.get(n)
        if job is not None:
            self._put(n, None)
        return job

    @property
    def waiting(self) -> bool:
        """Whether any job is not done."""
        return bool(self._all)

    @property
    def ready(self) -> bool:
        """Whether there are jobs to take."""
        return bool(self._ready)

    def take(self) -> list[Work]:
        """Take the jobs that are to be begun."""
        ready, self._ready = self._ready, []
        return ready

    def mark(self) -> int:
        """Return where the changes of the present call begin."""
        return len(self._journal)

    def rollback(self, mark: int) -> None:
        """Take back the changes since `mark`."""
        while len(self._journal) > mark:
            n, before = self._journal.pop()
            self._place(n, before)

    def changes(self) -> list[Row]:
        """List the jobs to write, and those that are over."""
        return [(n, _encode(self._all.get(n))) for n in dict(self._journal)]

    def settle(self) -> None:
        """Give the new ones out: they are on disk."""
        begun = [n for n, before in dict(self._journal).items() if before is None]
        self._ready += [self._all[n] for n in begun if n in self._all]
        self._journal.clear()

    def _put(self, n: int, job: Work | None) -> None:
        self._journal.append((n, self._all.get(n)))
        self._place(n, job)

    def _place(self, n: int, job: Work | None) -> None:
        if job is None:
            self._all.pop(n, None)
        else:
            self._all[n] = job


def write(database: Database, rows: Iterable[Row]) -> None:
    """Write what turns changed, in order, into the open transaction."""
    latest = dict(rows)
    given = [row for row in latest.items() if row[1] is not None]
    over = [(n,) for n, work in latest.items() if work is None]
    if given:
        database.run_many("INSERT OR REPLACE INTO _raydo_jobs VALUES (?, ?)", given)
    if over:
        database.run_many("DELETE FROM _raydo_jobs WHERE n = ?", over)


def order_of(job: Work) -> Order:
    """Say what another process is to do."""
    return Order(catalog.search_paths(), job.function, job.args)


def do(order: Order) -> bytes:
    """Do it, in whatever process this is, and return its packed result; blocks.

    Raises:
        ObjectFailed: it raised; carries the type's name.
    """
    catalog.search_in(order.paths)
    module, _, name = order.function.partition(":")
    try:
        found: Any = import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
        return pack(found(*order.args))
    except RaydoError:
        raise
    except (Exception, SystemExit) as error:
        kind = type(error).__name__
        raise ObjectFailed(f"{order.function}: {kind}: {error}", detail={"type": kind}) from error


def _name_of(function: Callable[..., Any]) -> str:
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", "<>")
    if module is None or "<" in name or module == "__main__":
        raise InvalidArgument(
            f"background() takes a function of a module, which another process can import, and not"
            f" {function!r:.80}."
        )
    return f"{module}:{name}"


def _encode(job: Work | None) -> bytes | None:
    return None if job is None else pack(list(job[1:]))
