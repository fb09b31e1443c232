"""Whose data a request names.

A tenant is named by `X-Tenant`, by `?tenant=`, or by the host name's first label under a
configured domain, in this order; without keys one that names none belongs to `default`. A request that
names two is refused: guessing would put one tenant's events into another's books.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl

from starlette.types import Scope

from raydo.gateway.headers import header
from raydo.pipelining.errors import InvalidArgument, InvalidTenant
from raydo.pipelining.noun import noun

DEFAULT_TENANT: Final = "default"
_PARAMETERS_MAX: Final = 100  # of a query string; none of ours takes a tenth of it


def parameters(scope: Scope, *but: str) -> dict[str, str]:
    """Decode the query string, `but` for parameters that may be repeated.

    Raises:
        InvalidArgument: not UTF-8, too many, or one name with two values.
    """
    pairs = [pair for pair in _pairs(scope) if pair[0] not in but]
    found = dict(pairs)
    for name, value in pairs:
        if found[name] != value:
            raise InvalidArgument(f"The parameter {name!r} is given twice, with different values.")
    return found


def repeated(scope: Scope, name: str) -> list[str]:
    """List all values of a parameter, in order.

    Raises:
        InvalidArgument: as `parameters`.
    """
    return [value for given, value in _pairs(scope) if given == name]


def _pairs(scope: Scope) -> list[tuple[str, str]]:
    query: bytes = scope.get("query_string", b"")
    if not query:
        return []
    try:
        return parse_qsl(
            query.decode("latin-1"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=_PARAMETERS_MAX,
        )
    except UnicodeDecodeError:
        raise InvalidArgument("The query string is not percent-encoded UTF-8.") from None
    except ValueError:
        raise InvalidArgument(f"A query string has at most {_PARAMETERS_MAX} parameters.") from None


def tenant_of(scope: Scope, query: dict[str, str], domain: str | None = None) -> str:
    """Name the tenant of a request, which may leave it out.

    Raises:
        InvalidTenant: not a tenant id, or two different ones.
    """
    named = named_tenant(scope, query, domain)
    return DEFAULT_TENANT if named is None else named


def named_tenant(scope: Scope, query: dict[str, str], domain: str | None = None) -> str | None:
    """Read which tenant a request names, if it names one.

    Raises:
        InvalidTenant: not a tenant id, or two different ones.
    """
    named = {tenant for tenant in (_from_header(scope), query.get("tenant")) if tenant is not None}
    if len(named) > 1:
        raise InvalidTenant("X-Tenant and ?tenant= name different tenants.")
    if not named:
        label = _from_host(scope, domain)
        return noun("", label).id if label else None
    return noun("", named.pop()).id


def _from_header(scope: Scope) -> str | None:
    value = header(scope, b"x-tenant")
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise InvalidTenant(
            "X-Tenant is not UTF-8; name the tenant percent-encoded, as ?tenant=…"
        ) from None


def _from_host(scope: Scope, domain: str | None) -> str | None:
    """Read the label before the configured domain: `acme` of `acme.example.com`."""
    if domain is None:
        return None
    name = host_name((header(scope, b"host") or b"").decode("latin-1"))
    label, _, rest = name.partition(".")
    return label if rest == domain.lower() else None


def host_name(host: str) -> str:
    """Cut the port off a Host header: `localhost:8000` is `localhost`, `[::1]:8000` is `::1`."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.rpartition(":")[0].lower() if ":" in host else host.lower()
