from __future__ import annotations

import httpx
import pytest

from raydo.actors.analytics import Analytics
from raydo.gateway.backend import Backend
from raydo.gateway.rpc import MSGPACK
from raydo.pipelining.codec import pack
from raydo.pipelining.connection import Connection
from raydo.pipelining.errors import Unavailable, UnknownObject
from raydo.pipelining.noun import Noun
from raydo.pipelining.transport import More


class OverHttp:
    """Carry envelopes to the gateway's own application, counting the requests."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client
        self.requests = 0

    async def send(self, noun: Noun, envelope: bytes, more: More | None = None) -> bytes:
        self.requests += 1
        response = await self.client.post(
            "/rpc", content=pack([noun.cls, noun.id, envelope]), headers={"content-type": MSGPACK}
        )
        if response.status_code != 200:
            raise UnknownObject(response.json()["message"])
        assert response.headers["content-type"] == MSGPACK
        return response.content

    async def close(self) -> None: ...


async def test_a_chain_is_one_request_whatever_its_length(gateway: httpx.AsyncClient) -> None:
    transport = OverHttp(gateway)

    async def open_() -> OverHttp:
        return transport

    async with Connection(open_, default=False) as connection:
        acme = connection.stub(Analytics, "acme/eu")
        acme.track("PageView", {"userId": "alice"})
        assert await acme.get_dau(7)[0]["dau"] == 1
        assert transport.requests == 1
        assert len(await acme.get_dau(7).map(lambda day: day["date"])) == 7
        assert transport.requests == 2


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "invalid_argument"),
        (b"\xc1", 400, "invalid_argument"),
        (pack(["Analytics", "acme"]), 400, "invalid_argument"),
        (pack(["Analytics", "acme", "text"]), 400, "invalid_argument"),
        (pack(["Analytics", "", b""]), 400, "invalid_tenant"),
        (pack(["Analytics", "acme", b"garbage"]), 400, "invalid_argument"),
        (pack(["../escape", "acme", pack([])]), None, None),
        (pack(["Nobody", "acme", pack([])]), 404, "unknown_object"),
    ],
)
async def test_what_is_no_frame_is_refused(
    gateway: httpx.AsyncClient, body: bytes, status: int | None, code: str | None
) -> None:
    response = await gateway.post("/rpc", content=body, headers={"content-type": MSGPACK})
    assert 400 <= response.status_code < 500
    if status is not None:
        assert (response.status_code, response.json()["code"]) == (status, code)
    assert (await gateway.get("/admin/tenants")).json() == {"tenants": []}


async def test_a_backend_that_is_gone_is_not_now_and_never_a_failure_of_ours(
    gateway: httpx.AsyncClient, backend: Backend
) -> None:
    await backend.close()
    response = await gateway.get("/stats")
    assert response.status_code == 503
    with pytest.raises(Unavailable):
        backend.check()
