"""`raydo keys`: make, list and revoke keys, at a gateway or in a data folder."""

from __future__ import annotations

import asyncio
from typing import Any

import typer

from raydo.gateway.options import (
    Data,
    Expires,
    Json,
    Key,
    KeyId,
    KeyKind,
    KeyName,
    KeyOrigins,
    KeyOwner,
    KeyScopes,
    KeyTenants,
    Url,
)
from raydo.gateway.options import Server as OfServer
from raydo.gateway.target import Target, target

keys_app = typer.Typer(
    help="Make, list and revoke keys: who may do what.",
    no_args_is_help=True,
)


@keys_app.command()
def create(
    *,
    kind: KeyKind,
    tenant: KeyOwner = None,
    name: KeyName = "",
    expires_in: Expires = None,
    tenants: KeyTenants = None,
    scope: KeyScopes = None,
    origin: KeyOrigins = None,
    url: Url = None,
    key: Key = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Make a key and print it; it can't be shown again.

    `write` sends events, `browser` does from the pages of --origin, `read` asks, `admin` does
    everything for one tenant; `server` does for all, `service` what --scope says for --tenants.
    """
    from raydo.gateway import printing
    from raydo.gateway.keys import SERVER_KINDS

    where = target(url, data, key)
    bounds = {"tenants": tenants, "scopes": scope, "origins": origin}
    if where.url is not None:
        body = {"kind": kind, "tenant": tenant, "name": name, "expires_in_s": expires_in}
        made = where.ask("POST", "/admin/keys", json=body | bounds)
    else:
        owner = tenant if kind in SERVER_KINDS else _owner(tenant, server=False)
        made = _at(where, "create", kind, owner, name=name, expires_in_s=expires_in, bounds=bounds)
    if json:
        printing.show_json(made)
    else:
        typer.echo(made["key"])


@keys_app.command("list")
def list_(
    *,
    tenant: KeyOwner = None,
    server: OfServer = False,
    url: Url = None,
    key: Key = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """List a tenant's keys, or the server's."""
    from raydo.gateway import printing

    where = target(url, data, key)
    if where.url is not None:
        found = where.ask("GET", "/admin/keys", params=_asked(tenant, server=server))["keys"]
    else:
        found = _at(where, "list", _owner(tenant, server=server))
    if json:
        printing.show_json(found)
    else:
        printing.show_keys(found)


@keys_app.command()
def revoke(
    id_: KeyId,
    *,
    tenant: KeyOwner = None,
    server: OfServer = False,
    url: Url = None,
    key: Key = None,
    data: Data = None,
) -> None:
    """Let a key open nothing any more."""
    where = target(url, data, key)
    if where.url is not None:
        where.ask("DELETE", f"/admin/keys/{id_}", params=_asked(tenant, server=server))
    else:
        _at(where, "revoke", id_, _owner(tenant, server=server))
    typer.echo(f"{id_} is revoked.")


def _asked(tenant: str | None, *, server: bool) -> dict[str, str]:
    asked = {"kind": "server"} if server else {}
    return asked if tenant is None else {**asked, "tenant": tenant}


def _owner(tenant: str | None, *, server: bool) -> str | None:
    from raydo.gateway.tenancy import DEFAULT_TENANT

    return None if server else tenant or DEFAULT_TENANT


def _at(where: Target, method: str, /, *args: Any, **settings: Any) -> Any:
    """Do something with a folder's keys."""
    return asyncio.run(_there(where, method, *args, **settings))


async def _there(where: Target, method: str, /, *args: Any, **settings: Any) -> Any:
    from raydo.gateway.auditing import CLI
    from raydo.gateway.keyring import Keyring
    from raydo.pipelining.stub import make_stub

    async with where.connect() as connection:
        acting = connection.acting(CLI)
        keyring = Keyring(lambda target: make_stub(target.cls, target.id, acting).keys)
        return await getattr(keyring, method)(*args, **settings)
