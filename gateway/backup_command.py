"""`raydo backup`: a folder's tenants into a place for backups, once or again and again."""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from raydo.gateway import options
from raydo.gateway.options import Gateway, Json, Key
from raydo.pipelining.errors import InvalidArgument, RaydoError, Unavailable

if TYPE_CHECKING:
    from raydo.actors.backup import Backed, Backup
    from raydo.actors.vault import Vault
    from raydo.gateway.target import Target
    from raydo.pipelining.noun import Noun

PARTIAL: Final = 1  # the exit code of a backup without some tenants
DAY_MS: Final = 86_400_000

To = Annotated[
    str,
    typer.Option(
        "--to", envvar="RAYDO_BACKUP_TO", metavar="DIR|s3://…", help="Where backups are kept."
    ),
]
Every = Annotated[
    str | None,
    typer.Option(metavar="60s", help="Again and again, so far apart: seconds, or 5m, 2h, 1d."),
]
KeepDays = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="N", help="Forget what is only of use for moments more than N days ago."
    ),
]


def backup(
    *,
    to: To,
    tenant: options.Only = None,
    object_: options.Object = "Analytics",
    every: Every = None,
    keep_days: KeepDays = None,
    data: options.DataFolder = Path("data"),
    url: Gateway = None,
    key: Key = None,
    json: Json = False,
) -> None:
    """Copy what changed in a data folder to a place for backups.

    Also while it is served. Run it on the server's machine. It asks the gateway to bring the databases up to date, so a backup
    has everything that was acknowledged before it began. Exit code 1: some tenants are not in it.
    """
    from raydo.actors.backup import Backup
    from raydo.actors.vault import Vault
    from raydo.gateway.target import target
    from raydo.pipelining.noun import noun

    if not data.is_dir():
        raise InvalidArgument(f"There is no data folder {data}.")
    apart_s = None if every is None else _seconds(every)
    only = None if tenant is None else noun(object_, tenant)
    vault = Vault.open(to, make=True)
    one = _Round(data, to, Backup(data, vault, now_ms), only, target(url, None, key))
    with vault.held():
        failed = _rounds(one, vault, apart_s, keep_days, json=json)
    raise typer.Exit(PARTIAL if failed else 0)


def _rounds(
    one: _Round, vault: Vault, apart_s: float | None, keep_days: int | None, *, json: bool
) -> bool:
    """Back up once, or until Ctrl-C; tell whether some tenants are not in it."""
    while True:
        began_s = time.monotonic()
        try:
            done = one()
        except (RaydoError, OSError) as error:
            one.note(None)
            if apart_s is None:
                raise
            typer.echo(f"raydo: {error}; the next one is in {apart_s:.0f} s.", err=True)
        else:
            one.note(done)
            _show(done, json=json)
            if keep_days is not None:
                _forget(vault, done.at_ms - keep_days * DAY_MS)
            if apart_s is None:
                return bool(done.failed)
        try:
            time.sleep(max(0.0, apart_s - (time.monotonic() - began_s)))
        except KeyboardInterrupt:
            return False


class _Round:
    """One backup, and what has to be known for it."""

    def __init__(
        self, data: Path, to: str, backup: Backup, only: Noun | None, gateway: Target
    ) -> None:
        self._data = data
        self._to = to
        self._backup = backup
        self._only = only
        self._gateway = gateway

    def __call__(self) -> Backed:
        from raydo.actors import tenant
        from raydo.actors.claim import Claim
        from raydo.gateway.progress import bar
        from raydo.pipelining.errors import DataInUse

        try:
            claim = Claim.alone(self._data, "embedded")
        except DataInUse:
            claim = None
        try:
            total = 1 if self._only is not None else sum(1 for _ in tenant.tenants(self._data))
            at_ms = now_ms()
            exact = True if claim is not None else self._drained()
            with bar(total) as shown:
                return self._backup.run(
                    at_ms,
                    exact=exact,
                    log=claim is not None,
                    only=self._only,
                    on_tenant=shown.step,
                )
        finally:
            if claim is not None:
                claim.release()

    def note(self, done: Backed | None) -> None:
        """Leave word for `/metrics` of a backup of all tenants."""
        from raydo.actors.backup_status import BackupStatus, read_status, write_status

        if self._only is not None:
            return
        before = read_status(self._data)
        worked = done is not None and not done.failed
        ok_ms = done.at_ms if done is not None and worked else before.ok_ms if before else 0
        with suppress(OSError):
            write_status(self._data, BackupStatus(ok_ms, not worked, self._to))

    def _drained(self) -> bool:
        """Have the databases brought up to date by whoever serves the folder; tell if it did."""
        where = self._gateway
        what = {} if self._only is None else {"tenant": self._only.id, "object": self._only.cls}
        try:
            reply = where.ask("POST", "/admin/drain", json=what)
        except Unavailable as error:
            typer.echo(f"raydo: not brought up to date first: {error}", err=True)
            return False
        if reply["data"] != str(self._data.resolve()):
            typer.echo(
                f"raydo: the gateway at {where} serves {reply['data']}; name the one that serves"
                f" {self._data} by --url.",
                err=True,
            )
            return False
        for name in reply["failed"]:
            typer.echo(f"raydo: {name} could not be brought up to date.", err=True)
        return not reply["failed"]


def _show(done: Backed, *, json: bool) -> None:
    if json:
        from dataclasses import asdict

        from raydo.gateway import printing

        printing.show_json(asdict(done))
        return
    typer.echo(
        f"{time_of(done.at_ms)}  {done.tenants:,} tenants, {done.changed:,} changed,"
        f" {done.bytes:,} bytes, {done.new_bytes:,} new"
    )
    for name, reason in done.failed.items():
        typer.echo(f"raydo: {name} is not in it: {reason}", err=True)
    if done.elsewhere:
        typer.echo(
            f"raydo: the archives of {len(done.elsewhere):,} tenants are in a warehouse of your own;"
            " back that up too.",
            err=True,
        )


def _forget(vault: Vault, before_ms: int) -> None:
    from raydo.actors.backup import forget

    points, pieces = forget(vault, before_ms)
    if points or pieces:
        typer.echo(f"Forgot {points:,} points and {pieces:,} pieces.")


def now_ms() -> int:
    """Tell the time."""
    return time.time_ns() // 1_000_000


_UNITS_S: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def _seconds(text: str) -> float:
    number, unit = (text[:-1], text[-1]) if text[-1:] in _UNITS_S else (text, "s")
    try:
        seconds = float(number) * _UNITS_S[unit]
    except ValueError:
        seconds = 0.0
    if not 1 <= seconds < float("inf"):
        raise InvalidArgument(f"--every takes a time such as 60s, 5m or 1h, not {text!r}.")
    return seconds


def time_of(ms: int) -> str:
    """Write a moment as ISO 8601 has it."""
    return datetime.fromtimestamp(ms / 1_000, UTC).isoformat(timespec="milliseconds")
