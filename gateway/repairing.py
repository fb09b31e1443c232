"""`raydo repair`: what a tenant's log has lost, and the receipt for accepting it.

Runs on a folder that nobody serves. The tenant is opened once before, so that everything that can
still be read of its log is in its database.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from raydo.actors import repair, tenant
from raydo.actors.claim import Claim
from raydo.actors.disk import OsDisk
from raydo.actors.epoch import Lease
from raydo.actors.schema import open_database
from raydo.actors.storage import DATABASE_FILE, Storage
from raydo.actors.transaction import watermarks
from raydo.pipelining.errors import DataUnreadable, InvalidArgument

if TYPE_CHECKING:
    from raydo.actors.database import Database
    from raydo.actors.repair import Received, Report
    from raydo.pipelining.noun import Noun


class Repaired(NamedTuple):
    """What was found, and the receipts that were written."""

    report: Report
    receipts: tuple[Path, ...]

    @property
    def whole(self) -> bool:
        """Whether nothing is lost that nobody has accepted."""
        return bool(self.receipts) or not (self.report.hurt or self.report.ahead)

    def wire(self) -> dict[str, Any]:
        """Return both as JSON has them."""
        return {
            "lost": [repair.wire(hurt) for hurt in self.report.hurt],
            "lost_max": self.report.lost_max,
            "lost_after_draining": self.report.ahead,
            "accepted": self.whole,
            "receipts": [str(path) for path in self.receipts],
        }


def repair_tenant(data: Path, noun: Noun, *, accept_loss: bool, now_ms: int) -> Repaired:
    """Survey one tenant's log, and accept what is lost if asked to.

    Raises:
        InvalidArgument: there is no such tenant.
        DataInUse: a server has the folder.
        DataUnreadable: its files are not ours, or of a later version.
    """
    folder = tenant.folder(data, noun)
    if not tenant.exists(folder):
        raise InvalidArgument(f"There is no {noun} in {data}.")
    with _claimed(data):
        with suppress(DataUnreadable):  # the database may be ahead: that is for the survey to say
            _drain(folder, noun)
        with _leased(folder), _opened(folder) as database:
            known = repair.Known(noun, watermarks(database)[0], _received(database))
            report = repair.survey(OsDisk(), folder, known)
            receipts = repair.accept(OsDisk(), folder, known, now_ms) if accept_loss else ()
        return Repaired(report, receipts)


def _drain(folder: Path, noun: Noun) -> None:
    Storage.open(OsDisk(), folder, noun, host=False, processes=None, random=os.urandom).close()


def _received(database: Database) -> Received:
    """Tell when the neighbours of lost records were received."""

    def received(first: int, last: int | None) -> tuple[int | None, int | None]:
        before = database.run(_BEFORE, (first,))
        behind = database.run(_BEHIND, (last,)) if last is not None else []
        return before[0][0] if before else None, behind[0][0] if behind else None

    return received


_BEFORE = "SELECT received_at FROM raw_events WHERE seq < ? ORDER BY seq DESC LIMIT 1"
_BEHIND = "SELECT received_at FROM raw_events WHERE seq > ? ORDER BY seq LIMIT 1"


@contextmanager
def _claimed(data: Path) -> Iterator[None]:
    claim = Claim.alone(data, "embedded")
    try:
        yield
    finally:
        claim.release()


@contextmanager
def _leased(folder: Path) -> Iterator[None]:
    lease = Lease.take(OsDisk(), folder, host=False)
    try:
        yield
    finally:
        lease.release()


@contextmanager
def _opened(folder: Path) -> Iterator[Database]:
    database = open_database(folder / DATABASE_FILE)
    try:
        yield database
    finally:
        database.close()
