"""The command `raydo`: what each subcommand does, and how it ends.

Exit codes: 0 done, 1 done but some events were rejected or are lost, 2 not done (one sentence on stderr, with
the error's stable code). Every option can also be given by the variable that its help names.
Subcommands import what they run, so that `--help` is quick.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import typer

from raydo.actors.logs import Format
from raydo.actors.settings import Settings, lake_properties
from raydo.gateway import govern_command, options
from raydo.gateway.backup_command import backup, restore
from raydo.gateway.doctor_command import doctor
from raydo.gateway.keys_command import keys_app
from raydo.gateway.metrics_command import metrics_app
from raydo.gateway.options import Csv, Data, Json, Key, Limit, Sql, Tenant, Url
from raydo.gateway.tail_command import tail
from raydo.gateway.verify_command import verify
from raydo.pipelining.errors import InvalidArgument, RaydoError
from raydo.pipelining.limits import IDLE_S, LAKE_AGE_S

REJECTED: Final = 1
FAILED: Final = 2

app = typer.Typer(
    help="An analytics backend of its own for every tenant: durable objects on Ray.",
    epilog="Start with `raydo serve`, then in another terminal `raydo demo`.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


app.add_typer(keys_app, name="keys")
app.command()(backup)
app.command()(restore)
app.command()(verify)
app.command()(doctor)
app.command()(tail)
govern_command.add_to(app)
app.add_typer(metrics_app)


@app.callback()
def root(*, _version: options.Version = False) -> None:
    """Hold the options that belong to no command."""


@app.command()
def serve(
    *,
    host: options.Host = "127.0.0.1",
    port: options.Port = 8000,
    data: options.DataFolder = Path("data"),
    embedded: options.Embedded = False,
    max_actors: options.MaxActors = None,
    idle_seconds: options.IdleSeconds = IDLE_S,
    objects: options.Objects = None,
    ray_address: options.RayAddress = None,
    cluster: options.Cluster = None,
    lake: options.Lake = None,
    archive_age_seconds: options.ArchiveAge = LAKE_AGE_S,
    domain: options.Domain = None,
    keys: options.Keys = False,
    log_format: options.LogFormat = "text",
    prices: options.PricesFile = None,
) -> None:
    """Run the gateway and its objects until Ctrl-C."""
    from raydo.actors.costs import read_prices
    from raydo.gateway.serve import Plan
    from raydo.gateway.serve import serve as run

    settings = Settings(
        data=data,
        max_actors=max_actors,
        idle_s=idle_seconds,
        objects=tuple(name for given in objects or () for name in given.split(",")),
        ray=ray_address,
        cluster=cluster,
        lake={} if lake is None else _properties(lake),
        archive_age_s=archive_age_seconds,
        log_format=_log_format(log_format),
    )
    run(
        Plan(
            settings,
            host=host,
            port=port,
            embedded=embedded,
            domain=domain,
            keyed=keys,
            prices=read_prices(prices),
        )
    )


@app.command("import")
def import_(
    file: options.File,
    *,
    tenant: options.Owner = None,
    tenant_column: options.TenantColumn = None,
    map_: options.Mapping = None,
    url: Url = None,
    key: Key = None,
    data: Data = None,
) -> None:
    """Load a file of events.

    CSV columns named event, user_id, anonymous_id, timestamp, received_at and message_id fill
    those fields; all others become properties. Events with a message id are counted once, so an
    import that was cut off can simply be run again.
    """
    from raydo.gateway import printing
    from raydo.gateway.loading import load_file
    from raydo.gateway.source import Source
    from raydo.gateway.target import target

    source = Source(file, tenant=tenant, tenant_column=tenant_column, mapping=_mapping(map_ or []))
    report = asyncio.run(load_file(source, target(url, data, key)))
    printing.show_report(report)
    if report.total().rejected:
        raise typer.Exit(REJECTED)


@app.command()
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


@app.command()
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


@app.command()
def settings(
    changes: options.Changes = None,
    *,
    tenant: Tenant = "default",
    url: Url = None,
    key: Key = None,
    data: Data = None,
) -> None:
    """Show a tenant's settings, or change some: `raydo settings -t acme zone=Europe/Berlin`.

    zone, week_start, retention_months, events_per_second, events_per_month, origins (with commas);
    NAME= goes back to what holds by itself.
    """
    from raydo.gateway import printing
    from raydo.gateway.asking import settings_of
    from raydo.gateway.preferring import read_changes
    from raydo.gateway.target import target

    wanted = read_changes(changes or [])
    printing.show_json(asyncio.run(settings_of(target(url, data, key), tenant, wanted)))


@app.command()
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


@app.command()
def repair(
    *,
    tenant: Tenant = "default",
    object_: options.Object = "Analytics",
    data: options.DataFolder = Path("data"),
    accept_loss: options.AcceptLoss = False,
    json: Json = False,
) -> None:
    """Show what a damaged disk has taken from a tenant's log, and accept it.

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
        raise typer.Exit(REJECTED)


@app.command()
def demo(*, url: Url = None, key: Key = None, data: Data = None) -> None:
    """Fill in a made-up product: 20 tenants, 90 days, three stories.

    Goes into the gateway on this machine, or into ./data if none runs here.
    """
    from raydo.gateway import printing
    from raydo.gateway.loading import load_demo
    from raydo.gateway.target import DEFAULT_URL, is_up, target

    if url is None and data is None and not is_up(DEFAULT_URL):
        data = Path("data")
    where = target(url, data, key)
    printing.show_report(asyncio.run(load_demo(where)))
    printing.show_where_to_look(where)


def _log_format(text: str) -> Format:
    if text in {"text", "json"}:
        return "json" if text == "json" else "text"
    raise InvalidArgument(f"--log-format is text or json, not {text!r}.")


def _properties(text: str) -> dict[str, str]:
    try:
        return lake_properties(text)
    except (ValueError, OSError):
        raise InvalidArgument(
            "--lake takes a JSON object of texts, or a file that has one."
        ) from None


def _mapping(pairs: Sequence[str]) -> dict[str, str]:
    mapping = {}
    for pair in pairs:
        field, equals, column = pair.partition("=")
        if not (field and equals and column):
            raise InvalidArgument(f"--map takes FIELD=COLUMN, not {pair!r}.")
        mapping[field] = column
    return mapping


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit."""
    try:
        app(args=arguments, prog_name="raydo")
    except RaydoError as error:
        typer.echo(f"raydo: {error} ({error.code})", err=True)
        sys.exit(FAILED)
