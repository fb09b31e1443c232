from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from starlette.responses import Response
from support.rpc import Socket

from raydo.actors.runtime import Served
from raydo.gateway.app import create_app
from raydo.gateway.backend import Backend
from raydo.gateway.door import Door
from raydo.gateway.schema import OPERATIONS
from raydo.pipelining.errors import DataInUse, RaydoError
from raydo.pipelining.limits import REQUESTS_MAX

FAILURE_KEYS = {"success", "status", "error", "code", "message", "detail"}


def _client(backend: Backend) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(create_app(backend), raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://localhost:8000")


def _failure(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert response.status_code == status
    body: dict[str, Any] = response.json()
    assert set(body) == FAILURE_KEYS
    assert (body["success"], body["status"], body["code"]) == (False, 0, code)
    assert body["error"] == body["message"] != ""
    return body


@pytest.fixture
def starting(tmp_path: Path) -> Backend:
    async def never() -> Any:
        await asyncio.Event().wait()

    return Backend(never)


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/"), ("GET", "/readyz"), ("GET", "/stats"), ("POST", "/track"), ("GET", "/nowhere")],
)
async def test_until_the_runtime_is_up_everybody_is_told_to_come_back(
    starting: Backend, method: str, path: str
) -> None:
    async with _client(starting) as client:
        response = await client.request(method, path)
        _failure(response, 503, "starting")
        assert int(response.headers["retry-after"]) >= 1


async def test_the_process_is_alive_before_the_runtime_is_up(starting: Backend) -> None:
    async with _client(starting) as client:
        assert (await client.get("/healthz")).json() == {"status": "ok"}


async def test_a_runtime_that_could_not_start_says_why_to_everybody(tmp_path: Path) -> None:
    async def refuse() -> Any:
        raise DataInUse("Process 7 has it.")

    backend = Backend(refuse)
    with pytest.raises(DataInUse):
        await backend.open()
    async with _client(backend) as client:
        assert _failure(await client.get("/readyz"), 409, "data_in_use")["error"] == (
            "Process 7 has it."
        )


async def test_once_up_it_is_ready(gateway: httpx.AsyncClient) -> None:
    assert (await gateway.get("/readyz")).json() == {"status": "ready"}


async def test_a_host_header_cannot_write_into_the_page(gateway: httpx.AsyncClient) -> None:
    response = await gateway.get("/", headers={"host": "localhost:<script>"})
    assert "localhost:<script>" not in response.text


@pytest.mark.parametrize(
    "headers",
    [{"host": "example.com"}, {"origin": "https://example.com"}, {"origin": "null"}],
)
@pytest.mark.parametrize("path", ["/", "/healthz", "/track", "/docs"])
async def test_foreigners_are_refused_at_every_path(
    gateway: httpx.AsyncClient, path: str, headers: dict[str, str]
) -> None:
    _failure(await gateway.get(path, headers=headers), 403, "forbidden")


async def test_the_routers_refusals_have_the_same_shape(gateway: httpx.AsyncClient) -> None:
    _failure(await gateway.get("/nowhere"), 404, "not_found")
    response = await gateway.get("/track")
    _failure(response, 405, "method_not_allowed")
    assert response.headers["allow"] == "POST"
    _failure(await gateway.post("/healthz"), 405, "method_not_allowed")


async def test_a_failure_of_our_own_shows_nothing_of_its_inside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        def stub(self, cls: type, tenant: str) -> Any:
            raise KeyError("secret")

    async def broken() -> Any:
        return Served(cast(Any, Broken()), cast(Any, None))

    backend = Backend(broken)
    await backend.open()
    async with _client(backend) as client:
        body = _failure(await client.get("/stats"), 500, "internal")
    assert "secret" not in str(body)
    assert "secret" in caplog.text


async def test_one_request_too_many_is_refused_and_the_next_taken(backend: Backend) -> None:
    gone_on = asyncio.Event()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await gone_on.wait()
        await Response("done")(scope, receive, send)

    transport = httpx.ASGITransport(Door(slow, backend))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        scope = {"type": "http", "path": "/stats", "headers": [(b"host", b"localhost")]}
        inside = [
            asyncio.create_task(transport.app(scope, _nothing, _nothing))
            for _ in range(REQUESTS_MAX)
        ]
        await asyncio.sleep(0)
        response = _failure(await client.get("/stats"), 503, "overloaded")
        assert "moment" in response["error"]

        gone_on.set()
        await asyncio.gather(*inside)
        assert (await client.get("/stats")).text == "done"


async def _nothing(*_message: Any) -> None: ...


async def test_every_route_is_documented(gateway: httpx.AsyncClient) -> None:
    schema = (await gateway.get("/openapi.json")).json()
    documented = {(path, verb) for path, verbs in schema["paths"].items() for verb in verbs}
    app = gateway._transport.app  # type: ignore[attr-defined]
    hidden = {
        "/",
        "/embed",
        "/static/{digest}/{name:path}",
        "/docs",
        "/docs/oauth2-redirect",
        "/redoc",
        "/openapi.json",
    }
    served = {
        (getattr(route, "path_format", route.path), method.lower())
        for route in app.routes
        for method in getattr(route, "methods", None) or ()
        if method not in {"HEAD", "OPTIONS"} and route.path not in hidden
    }
    served -= {(f"/v1/{short}", "post") for short in "tipsgab"}  # spellings of documented ones
    served -= {(path, verb) for path, verb in served if _other(path, verb) in OPERATIONS}
    assert set(OPERATIONS) <= served
    assert served <= documented
    assert (await gateway.get("/docs")).status_code == 200


def _other(path: str, verb: str) -> tuple[str, str]:
    """Spell a path with a slash at its end, or without."""
    return (path[:-1] if path.endswith("/") else f"{path}/"), verb


async def test_every_reference_in_the_documentation_leads_somewhere(
    gateway: httpx.AsyncClient,
) -> None:
    schema = (await gateway.get("/openapi.json")).json()

    def references(node: Any) -> list[str]:
        if isinstance(node, dict):
            own = [node["$ref"]] if "$ref" in node else []
            return own + [ref for value in node.values() for ref in references(value)]
        if isinstance(node, list):
            return [ref for value in node for ref in references(value)]
        return []

    found = references(schema["paths"])
    assert found
    for reference in found:
        _, _, _, name = reference.split("/")
        assert name in schema["components"]["schemas"]


async def test_tenants_are_listed_once_they_have_data(gateway: httpx.AsyncClient) -> None:
    assert (await gateway.get("/stats?tenant=ghost")).status_code == 200
    assert (await gateway.get("/admin/tenants")).json() == {"tenants": []}

    for tenant in ("acme/eu", "日本"):
        await gateway.post("/track", params={"tenant": tenant}, json={"event": "a"})
    listed = (await gateway.get("/admin/tenants")).json()["tenants"]
    assert sorted((one["object"], one["tenant"], one["state"]) for one in listed) == [
        ("Analytics", "acme/eu", "awake"),
        ("Analytics", "日本", "awake"),
    ]
    assert {one["pid"] for one in listed} == {os.getpid()}
    assert all(one["host_bytes"] > 0 and one["last_used_ms"] > 0 for one in listed)


async def test_closing_what_never_started_is_harmless(starting: Backend) -> None:
    await starting.close()
    with pytest.raises(RaydoError):
        starting.check()


async def test_the_docs_load_nothing_from_another_address(gateway: httpx.AsyncClient) -> None:
    page = (await gateway.get("/docs")).text
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page)

    assert loaded
    for path in loaded:
        assert path.startswith("/")
        assert (await gateway.get(path)).status_code == 200


async def test_a_socket_speaks_capn_web_to_the_tenant_that_it_names(backend: Backend) -> None:
    socket = await Socket(create_app(backend), query="tenant=acme").accepted()
    socket.say(["push", ["pipeline", 0, ["getActiveUsers"], []]], ["pull", 1])

    assert await socket.hear() == ["resolve", 1, 0]
    await socket.hang_up()


async def test_a_page_of_another_site_gets_no_socket(backend: Backend) -> None:
    socket = Socket(create_app(backend))
    socket.scope["headers"].append((b"origin", b"https://example.com"))

    refusal = await socket.hear()

    assert (refusal["type"], refusal["status"]) == ("websocket.http.response.start", 403)


async def test_until_the_runtime_is_up_there_are_no_sockets(starting: Backend) -> None:
    assert (await Socket(create_app(starting)).hear())["status"] == 503
