from __future__ import annotations

from typing import Any

import pytest

from raydo.gateway.door import check_local, is_loopback
from raydo.gateway.tenancy import parameters, tenant_of
from raydo.pipelining.errors import Forbidden, InvalidArgument, InvalidTenant


def _scope(query: bytes = b"", **headers: bytes) -> dict[str, Any]:
    pairs = [(name.replace("_", "-").encode(), value) for name, value in headers.items()]
    return {"headers": pairs, "query_string": query}


def _tenant(query: bytes = b"", domain: str | None = None, **headers: bytes) -> str:
    scope = _scope(query, **headers)
    return tenant_of(scope, parameters(scope), domain)


def test_a_request_that_names_nobody_is_the_default_tenants() -> None:
    assert _tenant() == "default"


@pytest.mark.parametrize("tenant", ["acme", "acme/eu", "日本", "../x", "a b"])
def test_a_tenant_is_any_text_in_the_header_or_percent_encoded(tenant: str) -> None:
    quoted = "".join(f"%{byte:02X}" for byte in tenant.encode()).encode()
    assert _tenant(x_tenant=tenant.encode()) == tenant
    assert _tenant(b"days=7&tenant=" + quoted) == tenant


def test_a_request_may_name_one_tenant_twice_and_never_two() -> None:
    assert _tenant(b"tenant=acme", x_tenant=b"acme") == "acme"
    with pytest.raises(InvalidTenant, match="different"):
        _tenant(b"tenant=acme", x_tenant=b"other")
    with pytest.raises(InvalidArgument, match="twice"):
        _tenant(b"tenant=acme&tenant=other")


@pytest.mark.parametrize(
    ("query", "header"),
    [(b"tenant=", None), (b"tenant=a%00", None), (b"", b""), (b"", b"\xe9"), (b"", b"x" * 257)],
)
def test_what_is_no_tenant_id_is_refused(query: bytes, header: bytes | None) -> None:
    with pytest.raises(InvalidTenant):
        _tenant(query, **({} if header is None else {"x_tenant": header}))


def test_a_query_string_that_is_not_utf_8_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="UTF-8"):
        _tenant(b"tenant=%ff")


@pytest.mark.parametrize(
    ("host", "tenant"),
    [
        (b"acme.example.com", "acme"),
        (b"ACME.example.com:8000", "acme"),
        (b"example.com", "default"),
        (b"a.b.example.com", "default"),
        (b"acme.elsewhere.com", "default"),
    ],
)
def test_a_host_names_its_tenant_only_under_the_configured_domain(host: bytes, tenant: str) -> None:
    assert _tenant(domain="example.com", host=host) == tenant
    assert _tenant(host=host) == "default"


def test_a_named_tenant_wins_over_the_host() -> None:
    assert _tenant(domain="example.com", host=b"acme.example.com", x_tenant=b"other") == "other"


@pytest.mark.parametrize(
    ("name", "local"),
    [
        ("localhost", True),
        ("acme.localhost", True),
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("192.168.0.2", False),
        ("localhost.example.com", False),
        ("127.0.0.1.example.com", False),
        ("", False),
    ],
)
def test_only_names_that_cannot_leave_this_machine_are_local(name: str, local: bool) -> None:
    assert is_loopback(name) is local


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        (b"localhost:8000", None),
        (b"127.0.0.1", b"http://localhost:3000"),
        (b"[::1]:8000", b"http://[::1]:8000"),
    ],
)
def test_this_machines_own_programs_and_pages_come_in(host: bytes, origin: bytes | None) -> None:
    check_local(host, origin)


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        (None, None),
        (b"rebound.example.com:8000", None),
        (b"localhost:8000", b"https://example.com"),
        (b"localhost:8000", b"null"),
        (b"localhost:8000", b"http://localhost.example.com"),
        (b"localhost:8000", b"http://["),
    ],
)
def test_a_foreign_host_name_or_page_stays_outside(
    host: bytes | None, origin: bytes | None
) -> None:
    with pytest.raises(Forbidden):
        check_local(host, origin)
