"""`raydo stats` and `raydo retention`: what a tenant's numbers are, as tables."""

from __future__ import annotations

import asyncio
from typing import Any

from raydo.gateway import options
from raydo.gateway.options import Data, Json, Key, Tenant, Url
from raydo.gateway.target import Target, target


def stats(
    *, tenant: Tenant = "default", url: Url = None, key: Key = None, data: Data = None,
    json: Json = False,
) -> None:  # fmt: skip
    """Show who is active now, and the most frequent events."""
    from raydo.gateway import printing

    found = _ask(target(url, data, key), tenant, "stats")
    if json:
        printing.show_json(found)
        return
    active = [(f"active, {window}", count) for window, count in found["active"].items()]
    counters = list(found["counters"].items())
    printing.show_columns(("now", ""), [*active, *counters])
    printing.show_columns(("event", "count"), list(found["events"].items()))


def retention(
    *,
    tenant: Tenant = "default",
    period: options.Period = "week",
    since: options.Since = None,
    to: options.To = None,
    tz: options.Zone = None,
    bots: options.Bots = True,
    url: Url = None,
    key: Key = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Show who came again, by when they were first seen.

    By the day, week or month of somebody's first event ever.
    """
    from raydo.gateway import printing

    where = target(url, data, key)
    asked = {"period": period, "since": since, "to": to, "tz": tz, "bots": bots}
    cohorts = _ask(where, tenant, "retention", **asked)
    if json:
        printing.show_json(cohorts)
        return
    headings = ("cohort", "size", *(str(n) for n in range(1, len(cohorts))))
    printing.show_columns(headings, [_cells(cohort) for cohort in cohorts])


def _cells(cohort: dict[str, Any]) -> tuple[Any, ...]:
    """Give a cohort's line: its begin, its size, and the share of it in each later period."""
    size = cohort["size"]
    shares = (f"{count / size:.0%}" if size else "-" for count in cohort["retained"][1:])
    return cohort["cohort"], size, *shares


def _ask(where: Target, tenant: str, method: str, **arguments: Any) -> Any:
    from raydo.actors.analytics import Analytics

    async def asked() -> Any:
        async with where.connect() as connection:
            return await getattr(connection.stub(Analytics, tenant), method)(**arguments)

    return asyncio.run(asked())
