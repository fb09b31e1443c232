"""The options of `raydo serve`: each has a variable, so that a unit file can set it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Host = Annotated[
    str,
    typer.Option(
        envvar="RAYDO_HOST", metavar="HOST", help="Address to listen on; loopback without --keys."
    ),
]
Port = Annotated[
    int,
    typer.Option(
        envvar="RAYDO_PORT", min=0, max=65535, metavar="PORT", help="Port; 0 takes a free one."
    ),
]
Embedded = Annotated[
    bool,
    typer.Option("--embedded", envvar="RAYDO_EMBEDDED", help="Without Ray, all in one process."),
]
MaxActors = Annotated[
    int | None,
    typer.Option(
        envvar="RAYDO_MAX_ACTORS",
        min=1,
        metavar="N",
        help="Ray actors that hold tenants, at most; by default 4 a core, as memory allows.",
    ),
]
IdleSeconds = Annotated[
    float,
    typer.Option(
        envvar="RAYDO_IDLE_SECONDS", min=0.1, metavar="S", help="A tenant unused this long sleeps."
    ),
]
Objects = Annotated[
    list[str] | None,
    typer.Option(
        envvar="RAYDO_OBJECTS",
        metavar="PKG.MODULE",
        help="A module with durable objects of your own; may be given several times.",
    ),
]
RayAddress = Annotated[
    str | None,
    typer.Option(
        envvar="RAYDO_RAY",
        metavar="ADDRESS",
        help="An existing Ray cluster, or `auto`; by default Ray is started here.",
    ),
]
Cluster = Annotated[
    str | None,
    typer.Option(
        envvar="RAYDO_CLUSTER",
        metavar="NAME",
        help="What the machines that serve together on that Ray call themselves.",
    ),
]
ArchiveAge = Annotated[
    float,
    typer.Option(
        envvar="RAYDO_ARCHIVE_AGE_SECONDS",
        min=1,
        metavar="S",
        help="How old events are before the weekly run archives them.",
    ),
]
Domain = Annotated[
    str | None,
    typer.Option(
        envvar="RAYDO_DOMAIN",
        metavar="NAME",
        help="Name tenants by host: `acme.localhost` under --domain localhost.",
    ),
]
PricesFile = Annotated[
    Path | None,
    typer.Option(
        "--prices",
        envvar="RAYDO_PRICES",
        dir_okay=False,
        metavar="FILE",
        help="What the machine costs, for /admin/costs; by default $5 a month.",
    ),
]
LogFormat = Annotated[
    str,
    typer.Option(
        envvar="RAYDO_LOG_FORMAT",
        metavar="text|json",
        help="How the log is written: for people, or one JSON object a line.",
    ),
]
Keys = Annotated[
    bool,
    typer.Option(
        "--keys/--no-keys",
        envvar="RAYDO_KEYS",
        help="Ask for API keys; without them only this machine is served.",
    ),
]
