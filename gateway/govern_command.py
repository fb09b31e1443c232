"""The commands that govern data: `raydo audit`, `raydo erase`, `raydo export`, `raydo token`."""

from __future__ import annotations

import asyncio

import typer

from raydo.gateway import options
from raydo.gateway.options import Data, Json, Key, Server, Tenant, TokenExpires, Url
from raydo.gateway.options import Limit as Rows
from raydo.gateway.progress import waiting
from raydo.gateway.target import target
from raydo.pipelining.errors import InvalidArgument


def audit(
    *,
    tenant: Tenant = "default",
    server: Server = False,
    limit: Rows = None,
    url: Url = None,
    key: Key = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Show who did what to a tenant, or to the server; newest first."""
    from raydo.gateway import printing
    from raydo.gateway.auditing import read_audit

    rows = asyncio.run(
        read_audit(target(url, data, key), None if server else tenant, limit or ROWS)
    )
    show = printing.show_json if json else printing.show_audit
    show(rows)


def erase(
    *,
    tenant: Tenant = "default",
    user: options.User = None,
    all_: options.All = False,
    yes: options.Yes = False,
    url: Url = None,
    key: Key = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Erase one user everywhere, or with --all a tenant.

    From the log, the database, the rollups, the archive and all its snapshots.
    """
    from raydo.gateway import printing
    from raydo.gateway.erasing import erase_tenant_at, erase_user

    if all_ == (user is not None):
        raise InvalidArgument("Give --user U, or --all for the whole tenant.")
    if user is None:
        if not yes and typer.prompt(f"Type {tenant!r} to erase all of it") != tenant:
            raise InvalidArgument("Nothing was erased.")
        with waiting(f"Erasing {tenant}"):
            asyncio.run(erase_tenant_at(target(url, data, key), tenant))
        typer.echo(f"Nothing of {tenant} is left.", err=True)
        return
    with waiting(f"Erasing a person of {tenant}"):
        erased = asyncio.run(erase_user(target(url, data, key), tenant, user))
    if json:
        printing.show_json(erased)
    else:
        printing.show_erased(erased)


def export(
    file: options.ExportFile,
    *,
    tenant: Tenant = "default",
    since: options.From = None,
    to: options.To = None,
    tz: options.Zone = None,
    url: Url = None,
    key: Key = None,
    data: Data = None,
) -> None:
    """Write a tenant's events into a file for `raydo import`."""
    from raydo.gateway.saving import save_events

    with waiting(f"Exporting {tenant}"):
        saved = asyncio.run(save_events(target(url, data, key), tenant, file, (since, to, tz)))
    typer.echo(f"{saved:,} events are in {file}.", err=True)


def token(
    *,
    tenant: Tenant = "default",
    expires_in: TokenExpires = None,
    url: Url = None,
    key: Key = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Make a token that reads one tenant for a short while."""
    from raydo.gateway import printing
    from raydo.gateway.auditing import make_token

    made = asyncio.run(make_token(target(url, data, key), tenant, expires_in))
    if json:
        printing.show_json(made)
    else:
        typer.echo(made["token"])


ROWS = 50
