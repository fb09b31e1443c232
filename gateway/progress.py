"""A bar on stderr for what takes longer than a second; nothing where nobody watches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text


class Bar:
    """Count up, and say what is being done."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task

    def step(self, what: object) -> None:
        """Begin the next one."""
        described = Text(str(what)).plain[:60]
        self._progress.update(self._task, description=described, advance=1, refresh=True)


@contextmanager
def bar(total: int | None) -> Iterator[Bar]:
    """Show a bar while the context lasts; it goes when it is done."""
    console = Console(stderr=True, highlight=False, markup=False)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        yield Bar(progress, progress.add_task("", total=total))


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Say what is waited for, and for how long already."""
    console = Console(stderr=True, highlight=False, markup=False)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as progress:
        progress.add_task(what, total=None)
        yield
