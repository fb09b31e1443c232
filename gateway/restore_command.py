"""`raydo restore`: tenants back from where backups are kept, as they were at a moment."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from raydo.gateway import options
from raydo.gateway.backup_command import now_ms, time_of
from raydo.gateway.options import Json
from raydo.pipelining.limits import COMMAND_TIMEOUT_S

if TYPE_CHECKING:
    from raydo.actors.backup_point import Point
    from raydo.actors.vault import Vault

_POLL_S: Final = 0.1

From = Annotated[
    str,
    typer.Option(
        "--from", envvar="RAYDO_BACKUP_TO", metavar="DIR|s3://…", help="Where backups are kept."
    ),
]
At = Annotated[
    str | None,
    typer.Option(
        metavar="MOMENT", help="As of the last backup that had ended by then; ISO 8601 or ms."
    ),
]


def restore(
    *,
    from_: From,
    tenant: options.Only = None,
    object_: options.Object = "Analytics",
    at: At = None,
    data: options.DataFolder = Path("data"),
    json: Json = False,
) -> None:
    """Bring tenants back from a backup.

    Into a folder that has them not and that nobody serves. They are as they were at the last backup that had ended by --at, or the newest: what was
    acknowledged after that moment is not in it.
    """
    from raydo.actors.restore import choose
    from raydo.actors.restore import restore as run
    from raydo.actors.vault import Vault
    from raydo.gateway import printing
    from raydo.gateway.progress import bar
    from raydo.pipelining.noun import noun

    vault = Vault.open(from_)
    at_ms = None if at is None else _moment(at)
    points = choose(vault, at_ms, None if tenant is None else noun(object_, tenant))
    with bar(len(points)) as shown:
        done = run(
            vault,
            points,
            data,
            now_ms(),
            lambda point: shown.step(point.noun),
        )
    erased = asyncio.run(_erase_again(vault, points, data))
    if json:
        printing.show_json([{**point.wire(), "files": len(point.files)} for point in done.points])
        return
    for point in done.points:
        note = "" if point.exact else ", less the last seconds before"
        typer.echo(f"{point.noun}  as of {time_of(point.at_ms)}{note}  {point.size:,} bytes")
    for name, count in erased.items():
        typer.echo(f"{name}: erased again, {count:,} erasures that came after the backup")
    for name in done.elsewhere:
        typer.echo(
            f"{name}: its archive is in a warehouse of your own, not in the backup.", err=True
        )


async def _erase_again(vault: Vault, points: list[Point], data: Path) -> dict[str, int]:
    """Let restored tenants forget whom they had forgotten after the backup; wait for it."""
    from raydo.actors.analytics import Analytics
    from raydo.actors.erasures import DONE
    from raydo.actors.restore import erased_since
    from raydo.actors.runtime import connect
    from raydo.gateway.auditing import CLI

    listed = {
        point.tenant: erased
        for point in points
        if point.object == Analytics.__name__ and (erased := erased_since(vault, point))
    }
    counts: dict[str, int] = {}
    if not listed:
        return counts
    async with connect(data=data) as connection:
        for name, erased in listed.items():
            stub = connection.acting(CLI).stub(Analytics, name)
            counts[name] = len(await stub.erase_again(erased))
            until_s = time.monotonic() + COMMAND_TIMEOUT_S
            while any(each["state"] != DONE for each in await stub.erasures()):
                if time.monotonic() > until_s:  # its archive is elsewhere, and not within reach
                    typer.echo(f"{name}: the erasures go on when it is served.", err=True)
                    break
                await asyncio.sleep(_POLL_S)
    return counts


def _moment(text: str) -> int:
    from raydo.actors.event import parse_time

    return parse_time(int(text) if text.isdigit() else text, "--at")
