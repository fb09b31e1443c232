"""`raydo verify`: derive rollups and counters from the events, and report what differs."""

from __future__ import annotations

import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Final

import typer

from raydo.gateway import options
from raydo.gateway.options import Json
from raydo.pipelining.errors import InvalidArgument

DRIFT: Final = 1

Only = Annotated[
    str | None, typer.Option("--tenant", "-t", metavar="T", help="One tenant; else all of them.")
]


def verify(
    *,
    tenant: Only = None,
    data: options.DataFolder = Path("data"),
    lake: options.Lake = None,
    json: Json = False,
) -> None:
    """Derive rollups and counters anew from all events, and compare.

    Reads only, and may run beside the server. Exit code 1: something differs.
    """
    from raydo.actors import tenant as tenants
    from raydo.actors.analytics import Analytics
    from raydo.actors.settings import lake_properties
    from raydo.actors.verification import verify as run
    from raydo.gateway import printing
    from raydo.gateway.progress import bar
    from raydo.pipelining.noun import noun

    if tenant is None:
        nouns = list(tenants.tenants(data))
    else:
        nouns = [noun(Analytics.__name__, tenant)]
        if not tenants.exists(tenants.folder(data, nouns[0])):
            raise InvalidArgument(f"There is no tenant {tenant!r} in {data}.")
    try:
        properties = {} if lake is None else lake_properties(lake)
    except (ValueError, OSError) as error:
        raise InvalidArgument(f"--lake cannot be read: {error}") from None
    found = []
    with tempfile.TemporaryDirectory() as staging, bar(len(nouns)) as shown:
        for subject in nouns:
            shown.step(subject)
            now_ms = time.time_ns() // 1_000_000
            found.append(run(data, subject, Path(staging), now_ms, lake=properties))
    if json:
        printing.show_json([{**asdict(each), "noun": list(each.noun)} for each in found])
    else:
        for one in found:
            verdict = f"{one.count:,} differ" if one.count else "as they are"
            typer.echo(
                f"{one.noun}  {one.events:,} events, {one.archived:,} archived,"
                f" {one.buckets:,} buckets: {verdict}"
            )
            for drift in one.drifts:
                typer.echo(
                    f"  {drift.what} {drift.where}: kept {drift.kept}, by the events {drift.derived}"
                )
    if any(one.count for one in found):
        raise typer.Exit(DRIFT)
