"""The options of the command line: their names, help, variables and bounds, in one place."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from raydo.pipelining.limits import KEY_S_MAX, TOKEN_S_MAX


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"raydo {version('raydo')}")
        raise typer.Exit


Version = Annotated[
    bool,
    typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
]

# Of a server's folder
DataFolder = Annotated[
    Path,
    typer.Option(
        envvar="RAYDO_DATA", file_okay=False, metavar="DIR", help="Folder of all tenants."
    ),
]
Lake = Annotated[
    str | None,
    typer.Option(
        envvar="RAYDO_LAKE",
        metavar="JSON|FILE",
        help="Properties of a pyiceberg catalog (type, uri, warehouse, s3.…) for the archives; by "
        "default each is in its tenant's folder.",
    ),
]

# Of every other command
Gateway = Annotated[
    str | None,
    typer.Option(
        "--url",
        envvar="RAYDO_URL",
        metavar="URL",
        help="A running gateway; by default http://127.0.0.1:8000.",
    ),
]


def _unless_a_folder(context: typer.Context, url: str | None) -> str | None:
    """Let a folder that the command line names stand above a gateway that the environment names."""
    source = context.get_parameter_source("url")
    said = source is not None and source.name == "COMMANDLINE"
    return url if said or context.params.get("data") is None else None


Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        envvar="RAYDO_URL",
        metavar="URL",
        callback=_unless_a_folder,
        help="A running gateway; by default http://127.0.0.1:8000.",
    ),
]
Key = Annotated[
    str | None,
    typer.Option(envvar="RAYDO_KEY", metavar="KEY", help="The key that the gateway asks for."),
]
Data = Annotated[
    Path | None,
    typer.Option(
        file_okay=False,
        metavar="DIR",
        help="Instead of a gateway: a folder that no server has open.",
    ),
]
Tenant = Annotated[
    str, typer.Option("--tenant", "-t", envvar="RAYDO_TENANT", metavar="T", help="Whose data.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Csv = Annotated[bool, typer.Option("--csv", help="Print CSV.")]
Limit = Annotated[int | None, typer.Option(min=1, metavar="N", help="Rows at most.")]
AsOf = Annotated[
    str | None,
    typer.Option(
        "--as-of",
        metavar="MOMENT",
        help="As it was then: ISO 8601 with an offset, or milliseconds since 1970.",
    ),
]
Sql = Annotated[str, typer.Argument(metavar="SQL", help="One SELECT; quote it.")]

# Of metrics
Period = Annotated[
    str, typer.Option("--period", metavar="P", help="Of the cohorts: day, week or month.")
]
Since = Annotated[
    str | None, typer.Option("--from", metavar="DATE", help="A day of the first one.")
]
To = Annotated[str | None, typer.Option("--to", metavar="DATE", help="The last day; today.")]
Zone = Annotated[
    str | None, typer.Option("--tz", metavar="ZONE", help="IANA time zone; the tenant's own.")
]
Bots = Annotated[bool, typer.Option("--bots/--no-bots", help="Whether events of bots count.")]

# Of an archive run
OlderThan = Annotated[
    float | None,
    typer.Option(
        "--older-than",
        min=0,
        metavar="S",
        help="Events older than so many seconds; without it what the weekly run takes.",
    ),
]

# Of keys
KeyKind = Annotated[
    str,
    typer.Option(
        "--kind",
        metavar="KIND",
        help="write, read, admin or browser; or for several tenants server, or service.",
    ),
]
KeyOwner = Annotated[
    str | None,
    typer.Option("--tenant", "-t", envvar="RAYDO_TENANT", metavar="T", help="Whose key."),
]
KeyName = Annotated[str, typer.Option("--name", metavar="TEXT", help="What it is for.")]
KeyId = Annotated[str, typer.Argument(metavar="ID", help="The key's id, as it is listed.")]
Expires = Annotated[
    float | None,
    typer.Option(
        "--expires-in",
        min=1,
        max=KEY_S_MAX,
        metavar="S",
        help="Seconds from now; without it never.",
    ),
]
KeyTenants = Annotated[
    str | None,
    typer.Option("--tenants", metavar="PATTERN", help="Of a service key: such as acme-*."),
]
KeyScopes = Annotated[
    list[str] | None,
    typer.Option(
        "--scope",
        metavar="SCOPE",
        help="Of a service key: ingest, read or erase; may be given several times.",
    ),
]
KeyOrigins = Annotated[
    list[str] | None,
    typer.Option(
        "--origin",
        metavar="ORIGIN",
        help="Of a browser key: https://shop.example; may be given several times.",
    ),
]
TokenExpires = Annotated[
    float | None,
    typer.Option(
        "--expires-in",
        min=1,
        max=TOKEN_S_MAX,
        metavar="S",
        help="Seconds from now; without it an hour.",
    ),
]
Server = Annotated[bool, typer.Option("--server", help="What is the server's own.")]

# Of settings
Changes = Annotated[list[str] | None, typer.Argument(metavar="[NAME=VALUE]…", help="What to set.")]

# Of a backup, or a restore
Only = Annotated[
    str | None, typer.Option("--tenant", "-t", metavar="T", help="Of one tenant; else of all.")
]

# Of a repair
Object = Annotated[str, typer.Option("--object", metavar="CLASS", help="Which durable object.")]
AcceptLoss = Annotated[
    bool,
    typer.Option(
        "--accept-loss", help="Write a receipt of what is gone, and delete the damaged files."
    ),
]

# Of an erasure
All = Annotated[bool, typer.Option("--all", help="The whole tenant: its folder goes.")]
Yes = Annotated[bool, typer.Option("--yes", help="Don't ask.")]
User = Annotated[
    str | None, typer.Option("--user", "-u", metavar="U", help="Whom: any id of that person.")
]

# Of an export
ExportFile = Annotated[
    Path,
    typer.Argument(metavar="FILE", help="Where it goes: FILE.parquet is Parquet, others NDJSON."),
]
From = Annotated[str | None, typer.Option("--from", metavar="DATE", help="The first day.")]

# Of an import
File = Annotated[
    Path,
    typer.Argument(
        metavar="FILE", help="CSV, or one JSON object a line, gzip or plain; or a Parquet export."
    ),
]
Owner = Annotated[
    str | None,
    typer.Option("--tenant", "-t", metavar="T", help="Everyone's tenant."),
]
TenantColumn = Annotated[
    str | None,
    typer.Option(
        envvar="RAYDO_TENANT_COLUMN", metavar="C", help="Column or field that names the tenant."
    ),
]
Mapping = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        envvar="RAYDO_MAP",
        metavar="FIELD=COLUMN",
        help="Which CSV column is which field, such as event=action.",
    ),
]
