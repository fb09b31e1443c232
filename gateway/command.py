"""The command `raydo`: what each subcommand does, and how it ends.

Exit codes: 0 done, 1 done but some events were rejected or are lost, 2 not done (one sentence on stderr, with
the error's stable code). Every option can also be given by the variable that its help names.
Subcommands import what they run, so that `--help` is quick.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final

import typer

from raydo.gateway import options
from raydo.gateway.backup_command import backup
from raydo.gateway.doctor_command import doctor
from raydo.gateway.govern_command import audit, erase, export, token
from raydo.gateway.keys_command import keys_app
from raydo.gateway.load_command import demo, import_
from raydo.gateway.metrics_command import retention, stats
from raydo.gateway.restore_command import restore
from raydo.gateway.serve_command import serve
from raydo.gateway.tail_command import tail
from raydo.gateway.tenant_command import archive, query, repair, settings, tenants
from raydo.gateway.verify_command import verify
from raydo.pipelining.errors import RaydoError

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

# In the order in which somebody new needs them: help lists them so.
app.command()(serve)
app.command()(demo)
app.command("import")(import_)
app.command()(query)
app.command()(stats)
app.command()(retention)
app.command()(tail)
app.command()(tenants)
app.command()(settings)
app.add_typer(keys_app, name="keys")
app.command()(token)
app.command()(export)
app.command()(erase)
app.command()(audit)
app.command()(archive)
app.command()(backup)
app.command()(restore)
app.command()(verify)
app.command()(repair)
app.command()(doctor)


@app.callback()
def root(*, _version: options.Version = False) -> None:
    """Hold the options that belong to no command."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit."""
    try:
        app(args=arguments, prog_name="raydo")
    except RaydoError as error:
        typer.echo(f"raydo: {error} ({error.code})", err=True)
        sys.exit(FAILED)
