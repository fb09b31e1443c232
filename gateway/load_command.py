"""`raydo import` and `raydo demo`: events into tenants, from a file or made up."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import typer

from raydo.gateway import options
from raydo.gateway.options import Data, Key, Url
from raydo.pipelining.errors import InvalidArgument

REJECTED: Final = 1  # the exit code when some events were


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


def _mapping(pairs: Sequence[str]) -> dict[str, str]:
    mapping = {}
    for pair in pairs:
        field, equals, column = pair.partition("=")
        if not (field and equals and column):
            raise InvalidArgument(f"--map takes FIELD=COLUMN, not {pair!r}.")
        mapping[field] = column
    return mapping
