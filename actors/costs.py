"""What each tenant used in a month, and what that is in dollars by a table of prices.

A machine costs the same whether it is used or not, so its price is cut in two: one part for the
processor, by the second, one for the disk, by the byte and month. A tenant pays for the CPU time
of its own turns (`ledger`) times `cpu_factor`: what all processes used for each second of turns,
so that gateway, Ray and queries are paid by those who had turns. What nobody used is `idle_usd`.
"""

from __future__ import annotations

import json
import sqlite3
from calendar import monthrange
from contextlib import closing
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final, TypedDict

from raydo.actors import tenant
from raydo.actors.lake import LAKE_FOLDER
from raydo.actors.ledger import PREFIX, Usage, read_usage
from raydo.actors.storage import DATABASE_FILE
from raydo.pipelining.errors import InvalidArgument

_GB: Final = 1e9
_MONTH: Final = "SELECT value FROM _raydo_meta WHERE key = ?"


@dataclass(frozen=True, slots=True)
class Prices:
    """What one machine costs; `cpu_share` of it is the processor's, the rest the disk's."""

    machine: str = "a shared virtual machine for $5 a month: 1 core, 1 GB of memory, 25 GB of SSD"
    month_usd: float = 5.0
    cores: float = 1
    disk_gb: float = 25
    cpu_share: float = 0.5

    def cpu_usd(self, seconds: float, days: int) -> float:
        """Return what seconds of CPU cost in a month of so many days."""
        return seconds * self.month_usd * self.cpu_share / (self.cores * days * 86_400)

    def disk_usd(self, size: int) -> float:
        """Return what bytes on the disk cost in a month."""
        return size / _GB * self.month_usd * (1 - self.cpu_share) / self.disk_gb


class Storage(TypedDict):
    """The bytes of a tenant's folder, by layer; `L2` has the message ids too."""

    L1: int
    L2: int
    L3: int


class TenantCost(TypedDict):
    """What one tenant used in the month, and what it costs."""

    object: str
    tenant: str
    used: dict[str, float]
    storage: Storage
    cpu_usd: float
    storage_usd: float
    usd: float


class Costs(TypedDict):
    """A month's bill: the tenants', the dearest first, and what is left of the machine's price."""

    month: str
    prices: dict[str, Any]
    cpu_factor: float
    tenants: list[TenantCost]
    usd: float
    idle_usd: float


def read_prices(path: Path | None) -> Prices:
    """Read a table of prices; without a file it is the $5 machine's.

    Raises:
        InvalidArgument: it is no such table.
    """
    if path is None:
        return Prices()
    try:
        wire = json.loads(path.read_text())
        prices = Prices(**wire)
        numbers = [getattr(prices, each.name) for each in fields(prices) if each.name != "machine"]
        good = all(number > 0 for number in numbers) and prices.cpu_share < 1
    except (OSError, ValueError, TypeError) as error:
        raise InvalidArgument(f"{path} is no table of prices: {error}.") from None
    if not good:
        raise InvalidArgument(f"{path}: all prices are over 0, and cpu_share is below 1.")
    return prices


def costs(
    data: Path, month: str, prices: Prices, *, cpu_factor: float = 1.0, only: str | None = None
) -> Costs:
    """Tell what the tenants of a folder used in a month (`2026-11`, UTC); wakes nobody."""
    days = _days(month)
    found: list[TenantCost] = []
    for noun in tenant.tenants(data):
        if only is not None and noun.id != only:
            continue
        home = tenant.folder(data, noun)
        used, storage = _used(home, month), storage_of(home)
        cpu_usd = prices.cpu_usd(used.cpu_s * cpu_factor, days)
        storage_usd = prices.disk_usd(storage["L1"] + storage["L2"] + storage["L3"])
        found.append(
            {
                "object": noun.cls,
                "tenant": noun.id,
                "used": asdict(used),
                "storage": storage,
                "cpu_usd": cpu_usd,
                "storage_usd": storage_usd,
                "usd": cpu_usd + storage_usd,
            }
        )
    total = sum(each["usd"] for each in found)
    return {
        "month": month,
        "prices": asdict(prices),
        "cpu_factor": cpu_factor,
        "tenants": sorted(found, key=lambda each: (-each["usd"], each["tenant"])),
        "usd": total,
        "idle_usd": max(0.0, prices.month_usd - total),
    }


def storage_of(home: Path) -> Storage:
    """Add up the bytes of a tenant's folder by layer."""
    storage: Storage = {"L1": 0, "L2": 0, "L3": 0}
    for path in home.rglob("*"):
        try:
            size = path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:
            continue  # it was merged or drained meanwhile
        if LAKE_FOLDER in path.relative_to(home).parts[:-1]:
            storage["L3"] += size
        elif path.suffix == ".seg":
            storage["L1"] += size
        else:
            storage["L2"] += size
    return storage


def _used(home: Path, month: str) -> Usage:
    path = home / DATABASE_FILE
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as reader:
            # Two connections that checkpoint at once can corrupt a file before SQLite 3.51.3.
            reader.execute("PRAGMA wal_autocheckpoint=0")
            rows = reader.execute(_MONTH, (PREFIX + month,)).fetchall()
    except sqlite3.Error:
        return Usage()  # it is being born, or damaged: `raydo doctor` and its own calls say so
    return read_usage(rows[0][0]) if rows else Usage()


def _days(month: str) -> int:
    year, _, number = month.partition("-")
    if not (year.isdigit() and number.isdigit() and len(month) == len("2026-11")):
        raise InvalidArgument(f"A month is written as 2026-11, not {month!r}.")
    if not (1 <= int(number) <= 12 and int(year) > 0):
        raise InvalidArgument(f"There is no month {month}.")
    return monthrange(int(year), int(number))[1]
