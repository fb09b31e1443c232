"""`raydo doctor`: looks at the machine and a data folder, and says what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import typer

from raydo.gateway import options
from raydo.gateway.options import Json

UNWELL: Final = 1
_SIGNS: Final = {"ok": "ok  ", "warning": "WARN", "error": "FAIL"}


def doctor(*, data: options.DataFolder = Path("data"), json: Json = False) -> None:
    """Say what is wrong with the machine, and what to do.

    Looks at disk, clock, syncs, limits, versions, the folder's lock and Ray.

    Run it where the server runs. Exit code 1: something would lose data, or nothing would work.
    """
    from raydo.actors.health import examine
    from raydo.gateway import printing
    from raydo.gateway.progress import bar

    with bar(None) as shown:
        findings = []
        for finding in examine(data):
            shown.step(finding.check)
            findings.append(finding)
    if json:
        printing.show_json([finding._asdict() for finding in findings])
    else:
        for finding in findings:
            typer.echo(f"{_SIGNS[finding.grade]}  {finding.check:<9} {finding.text}")
            if finding.cure:
                typer.echo(f"      {'':<9} {finding.cure}")
    if any(finding.grade == "error" for finding in findings):
        raise typer.Exit(UNWELL)
