"""Loading with a person watching: a file or the demo, into a target, behind a progress bar."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from raydo.actors.analytics import Analytics
from raydo.gateway import demo
from raydo.gateway.importer import Importer, Report
from raydo.gateway.source import Line, Source
from raydo.gateway.target import Target
from raydo.pipelining.connection import Connection
from raydo.pipelining.errors import InvalidArgument

_LIVE_TENANT = next(shop.id for shop in demo.SHOPS if shop.story == "live")


class Bar:
    """Show how far a load is, how many events are in, and how fast it goes."""

    def __init__(self, what: str, total: float) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[events]:,} events"),
            TextColumn("{task.fields[rate]:,.0f}/s"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
        )
        self._task = self._progress.add_task(what, total=total, events=0, rate=0.0)
        self._events = 0

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._progress.stop()

    def show(self, events: int, completed: float) -> None:
        """Count `events` more; `completed` is how much of the total is done."""
        self._events += events
        elapsed_s = self._progress.tasks[0].elapsed or 0.0
        self._progress.update(
            self._task,
            completed=completed,
            events=self._events,
            rate=self._events / elapsed_s if elapsed_s else 0.0,
        )


async def load_file(source: Source, target: Target) -> Report:
    """Load one file of events into a target.

    Raises:
        RaydoError: the file cannot be read, or the target refuses.
    """
    with source:
        async with target.connect() as connection:
            with Bar(source.path.name, source.size_bytes) as bar:
                importer = Importer(connection, lambda n: bar.show(n, source.read_bytes))
                return await importer.run(source.lines())


async def load_demo(target: Target) -> Report:
    """Make the demo's data set and load it into a target.

    Raises:
        InvalidArgument: the target holds another day's demo. RaydoError: the target refuses.
    """
    async with target.connect() as connection:
        await _refuse_older_demo(connection)
        with Bar("demo", len(demo.SHOPS)) as bar:
            made = _Made()
            importer = Importer(connection, lambda n: bar.show(n, made.shops_done))
            report = await importer.run(made.lines())
            bar.show(0, made.shops_done)
            return report


class _Made:
    """The demo's events as lines of a file that nobody wrote."""

    def __init__(self) -> None:
        self.shops_done = 0

    def lines(self) -> Iterator[Line]:
        for shop in demo.SHOPS:
            for number, raw in enumerate(demo.events(shop, datetime.now(UTC)), 1):
                yield Line(number, shop.id, raw)
            self.shops_done += 1


async def _refuse_older_demo(connection: Connection) -> None:
    # Another day's demo has other ids, so it would not be recognised and count on top.
    sql = "SELECT count(*) AS n FROM raw_events WHERE id LIKE 'demo-%' AND id NOT LIKE ?"
    stub = connection.stub(Analytics, _LIVE_TENANT)
    reply = await stub.query(sql, [f"{demo.id_prefix(datetime.now(UTC))}-%"], None)
    if reply["rows"][0]["n"]:
        raise InvalidArgument(
            "The demo of another day is in there already; give --data a new folder."
        )
