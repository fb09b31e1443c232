"""What one does with a tenant: `raydo query`, `tenants`, `settings`, `archive`, `repair`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

import typer

from raydo.gateway import options
from raydo.gateway.options import Csv, Data, Json, Key, Limit, Sql, Tenant, Url
from raydo.pipelining.errors import InvalidArgument

LOST: Final = 1  # the exit code when there is a loss that nobody has accepted


def query(
    sql: Sql,
    *,
    tenant: Tenant = "default",
    url: Url = None,
    key: Key = None,
    data: Data = None,
    limit: Limit = None,
    as_of: options.AsOf = None,
    json: Json = False,
    csv: Csv = False,
) -> None:
    """Ask one tenant's data by SQL.

    Tables: events (all of them, archived or not), raw_events (those not archived), hourly_events,
    daily_metrics, retention.
    """
    from raydo.gateway import printing
    from raydo.gateway.asking import ask
    from raydo.gateway.target import target

    if json and csv:
        raise InvalidArgument("Give --json or --csv, not both.")
    reply = asyncio.run(ask(target(url, data, key), tenant, sql, limit, as_of))
    show = printing.show_json if json else printing.show_csv if csv else printing.show_table
    show(reply)


def tenants(*, url: Url = None, key: Key = None, data: Data = None, json: Json = False) -> None:
    """List every tenant with data."""
    from raydo.gateway import printing
    from raydo.gateway.asking import list_tenants
    from raydo.gateway.target import target

    found = list_tenants(target(url, data, key))
    if json:
        printing.show_json(found)
    else:
        printing.show_tenants(found)


def settings(
    changes: options.Changes = None,
    *,
    tenant: Tenant = "default",
    url: Url = None,
    key: Key = None,
    data: Data = None,
) -> None:
    """Show a tenant's settings, or change some.

    Such as `raydo settings -t acme zone=Europe/Berlin`. There are zone, week_start,
    retention_months, events_per_second, events_per_month, origins (with commas); NAME= goes back
    to what holds by itself.
    """
    from raydo.gateway import printing
    from raydo.gateway.asking import settings_of
    from raydo.gateway.preferring import read_changes
    from raydo.gateway.target import target

    wanted = read_changes(changes or [])
    printing.show_json(asyncio.run(settings_of(target(url, data, key), tenant, wanted)))


def archive(
    *,
    tenant: Tenant = "default",
    older_than: options.OlderThan = None,
    url: Url = None,
    key: Key = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Move a tenant's old events into its Iceberg archive now."""
    from raydo.gateway import printing
    from raydo.gateway.archiving import archive_tenant
    from raydo.gateway.progress import waiting
    from raydo.gateway.target import target

    with waiting(f"Archiving {tenant}"):
        done = asyncio.run(archive_tenant(target(url, data, key), tenant, older_than))
    if json:
        printing.show_json(done)
    else:
        printing.show_archived(done)


def repair(
    *,
    tenant: Tenant = "default",
    object_: options.Object = "Analytics",
    data: options.DataFolder = Path("data"),
    accept_loss: options.AcceptLoss = False,
    json: Json = False,
) -> None:
    """Show what a damaged disk took from a tenant's log; accept it.

    Stop the server first. Exit code 1 says that there is a loss which nobody has accepted.
    """
    from raydo.actors.clock import SystemClock
    from raydo.gateway import printing
    from raydo.gateway.repairing import repair_tenant
    from raydo.pipelining.noun import noun

    done = repair_tenant(
        data,
        noun(object_, tenant),
        accept_loss=accept_loss,
        now_ms=SystemClock().now_ms(),
    )
    if json:
        printing.show_json(done.wire())
    else:
        printing.show_repair(done)
    if not done.whole:
        raise typer.Exit(LOST)
