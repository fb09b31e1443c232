"""What a hostile or broken client may send, and the reply to each: never a 5xx, never silence."""

from __future__ import annotations

import base64
import gzip
import zlib
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx
import pytest
import pytest_asyncio

from raydo.actors.runtime import serve_runtime
from raydo.actors.settings import Settings
from raydo.gateway import verdicts
from raydo.gateway.app import create_app
from raydo.gateway.backend import Backend
from raydo.pipelining.limits import (
    BATCH_EVENTS_MAX,
    BODY_BYTES_MAX,
    BODY_VALUES_MAX,
    EVENT_BYTES_MAX,
    SEGMENT_BATCH_BYTES_MAX,
)

if TYPE_CHECKING:
    from conftest import Keyed


class Case(NamedTuple):
    """One request; `code` is the reply's own, or that of its first rejected event."""

    name: str
    path: str
    body: bytes
    status: int
    code: str | None
    headers: Mapping[str, str] = {}


DEEP = b"[" * 100_000 + b"]" * 100_000
GZIP = {"content-encoding": "gzip"}
BOMB = gzip.compress(gzip.compress(b"0" * (BODY_BYTES_MAX + 1)))
LONG = b'"' + b"x" * EVENT_BYTES_MAX + b'"'


def track(rest: bytes) -> bytes:
    return b'{"event":"a","userId":"u",' + rest + b"}"


def call(rest: bytes) -> bytes:
    return b'{"batch":[{"type":"track","event":"a","userId":"u",' + rest + b"}]}"


def capture(rest: bytes) -> bytes:
    return b'{"batch":[{"event":"a","distinct_id":"u",' + rest + b"}]}"


def tracked(rest: bytes) -> bytes:
    return b'[{"event":"a","properties":{"distinct_id":"u",' + rest + b"}}]"


BAD = "invalid_argument"
EVENT = "invalid_event"
CASES = [
    # No JSON
    Case("empty", "/track", b"", 400, BAD),
    Case("space", "/track", b" \r\n\t", 400, BAD),
    Case("cut off", "/track", b'{"event":"a"', 400, BAD),
    Case("two values", "/track", b'{"event":"a"} {"event":"b"}', 400, BAD),
    Case("single quotes", "/track", b"{'event':'a'}", 400, BAD),
    Case("a comma too many", "/track/batch", b'[{"event":"a"},]', 400, BAD),
    Case("a number", "/track/batch", b"7", 400, BAD),
    Case("a text", "/v1/batch", b'"batch"', 400, BAD),
    Case("null", "/v1/track", b"null", 400, EVENT),
    Case("HTML", "/batch/", b"<html></html>", 400, BAD),
    Case("a form without data", "/mixpanel/track", b"verbose=1", 400, BAD),
    Case("a form of many fields", "/mixpanel/track", b"a=1&" * 1_000 + b"data={}", 400, BAD),
    # Encodings
    Case("Latin-1", "/track", b'{"event":"caf\xe9"}', 400, BAD),
    Case("UTF-16", "/track", '{"event":"a"}'.encode("utf-16"), 400, BAD),
    Case("an overlong slash", "/v1/batch", b'{"batch":[{"type":"\xc0\xaf"}]}', 400, BAD),
    Case("half a surrogate", "/track", rb'{"event":"\ud800"}', 400, BAD),
    Case("a NUL in a name", "/track", rb'{"event":"a\u0000b"}', 400, EVENT),
    Case("a NUL in an id", "/track", track(rb'"messageId":"\u0000"'), 400, EVENT),
    Case("a byte-order mark", "/track", b"\xef\xbb\xbf" + track(b'"x":1'), 200, None),
    Case("a form that is none", "/mixpanel/track", b"data=%ff%fe", 400, BAD),
    Case("base64 of nothing", "/mixpanel/track", b"data=" + base64.b64encode(b"\xff"), 400, BAD),
    # Numbers and depth
    Case("NaN", "/track", track(b'"properties":{"n":NaN}'), 400, BAD),
    Case("Infinity", "/track/batch", b'[{"event":"a","timestamp":Infinity}]', 400, BAD),
    Case("a huge number", "/track", track(b'"timestamp":1e400'), 400, EVENT),
    Case("a long number", "/track", track(b'"timestamp":' + b"9" * 5_000), 400, EVENT),
    Case("before 1970", "/track", track(b'"timestamp":-1'), 400, EVENT),
    Case("a flag for a time", "/track", track(b'"timestamp":true'), 400, EVENT),
    Case("a list for an id", "/track", track(b'"messageId":[1]'), 400, EVENT),
    Case("deep JSON", "/track", track(b'"properties":{"a":' + DEEP[:2_000] + b"}"), 400, BAD),
    Case("deep properties", "/track", track(b'"properties":{"a":' + b"[" * 99 + b"]" * 99 + b"}"), 400, EVENT),
    Case("very deep JSON", "/track/batch", DEEP, 400, BAD),
    Case("very deep calls", "/v1/batch", b'{"batch":' + DEEP + b"}", 400, BAD),
    Case("very deep events", "/batch/", DEEP, 400, BAD),
    Case("very deep records", "/mixpanel/import", DEEP, 400, BAD),
    # Sizes
    Case("a long event", "/track", track(b'"x":' + LONG), 413, "too_large"),
    Case("a long call", "/v1/track", track(b'"properties":{"x":' + LONG + b"}"), 413, "too_large"),
    Case("a long call among others", "/v1/batch", call(b'"properties":{"x":' + LONG + b"}"), 200, "too_large"),
    Case("a long capture", "/batch/", capture(b'"properties":{"x":' + LONG + b"}"), 200, "too_large"),
    Case("a long record", "/mixpanel/import", tracked(b'"x":' + LONG), 200, "too_large"),
    Case("a long batch", "/v1/batch", b'{"batch":[]}' + b" " * SEGMENT_BATCH_BYTES_MAX, 413, "too_large"),
    Case("a long batch of a page", "/raydo", b'{"batch":[]}' + b" " * SEGMENT_BATCH_BYTES_MAX, 413, "too_large"),
    Case("a long body", "/batch/", b" " * (BODY_BYTES_MAX + 1), 413, "too_large"),
    Case("many events", "/track/batch", b"[" + b"1," * BATCH_EVENTS_MAX + b"1]", 413, "too_large"),
    Case("many captures", "/capture/", b"[" + b"1," * BATCH_EVENTS_MAX + b"1]", 413, "too_large"),
    Case("many records", "/mixpanel/import", b"[" + b"1," * BATCH_EVENTS_MAX + b"1]", 413, "too_large"),
    Case("many values", "/batch/", b"[" + b"1," * (BODY_VALUES_MAX + 1) + b"1]", 413, "too_large"),
    Case("a long name", "/track", b'{"event":' + LONG[:300] + b'"}', 400, EVENT),
    Case("a long id", "/capture/", capture(b'"uuid":' + LONG[:300] + b'"'), 200, EVENT),
    # Compression
    Case("a bomb", "/track/batch", gzip.compress(b"0" * (BODY_BYTES_MAX + 1)), 413, "too_large", GZIP),
    Case("a bomb in a bomb", "/v1/batch", BOMB, 413, "too_large", {"content-encoding": "gzip, gzip"}),
    Case("a bomb unlabelled", "/batch/", gzip.compress(b"0" * (BODY_BYTES_MAX + 1)), 413, "too_large"),
    Case("gzip that is none", "/v1/batch", b'{"batch":[]}', 400, BAD, GZIP),
    Case("gzip cut off", "/v1/batch", gzip.compress(b'{"batch":[]}')[:-9], 400, BAD, GZIP),
    Case("many members", "/v1/batch", gzip.compress(b"") * 1_000, 400, BAD, GZIP),
    Case("deflate", "/batch/", zlib.compress(capture(b'"x":1')), 200, None, {"content-encoding": "deflate"}),
    Case("zstd", "/batch/", b"\x28\xb5\x2f\xfd", 415, "unsupported_media", {"content-encoding": "zstd"}),
    Case("many encodings", "/track", b"{}", 415, "unsupported_media", {"content-encoding": "gzip,gzip,gzip"}),
    # Shapes
    Case("an envelope for one", "/track", b'{"batch":[]}', 400, BAD),
    Case("no name", "/track", b"{}", 400, EVENT),
    Case("an empty batch", "/v1/batch", b'{"batch":[]}', 200, None),
    Case("numbers for calls", "/v1/batch", b'{"batch":[1,null,"a",[]]}', 200, EVENT),
    Case("an unknown call", "/v1/batch", b'{"batch":[{"type":"drop table","userId":"u"}]}', 200, EVENT),
    Case("nobody's call", "/v1/batch", b'{"batch":[{"type":"track","event":"a"}]}', 200, EVENT),
    Case("a list for a context", "/v1/batch", b'{"batch":[],"context":[]}', 400, EVENT),
    Case("a bad time of sending", "/v1/batch", call(b'"x":1')[:-1] + b',"sentAt":"soon"}', 400, EVENT),
    Case("nobody's capture", "/batch/", b'{"batch":[{"event":"a"}]}', 200, EVENT),
    Case("a nameless capture", "/capture/", b'{"distinct_id":"u"}', 200, EVENT),
    Case("numbers for records", "/mixpanel/import?strict=1", b"[1,2]", 400, EVENT),
    Case("a bad time of a record", "/mixpanel/import", tracked(b'"time":"soon"'), 200, EVENT),
    Case("a time without end", "/mixpanel/import", tracked(b'"time":"inf"'), 200, EVENT),
    Case("a list for a profile", "/mixpanel/engage", b"[[]]", 400, EVENT),
    # Addresses and tenants
    Case("a parameter twice", "/track?tenant=a&tenant=b", b"{}", 400, BAD),
    Case("many parameters", "/track?" + "a=1&" * 200, b"{}", 400, BAD),
    Case("an address that is no text", "/v1/batch?tenant=%ff", b"{}", 400, BAD),
    Case("no tenant's name", "/v1/batch?tenant=%00", b"{}", 400, "invalid_tenant"),
    Case("two tenants", "/v1/batch?tenant=a", b"{}", 400, "invalid_tenant", {"x-tenant": "b"}),
    Case("a long tenant", "/v1/batch?tenant=" + "x" * 300, b"{}", 400, "invalid_tenant"),
    Case("an unknown vendor", "/v1/dance", b"{}", 404, "not_found"),
]  # fmt: skip


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hardened(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[httpx.AsyncClient]:
    """Speak to one gateway that has to bear all of it."""
    settings = Settings(data=tmp_path_factory.mktemp("hostile") / "data")
    backend = Backend(lambda: serve_runtime(settings, embedded=True))
    await backend.open()
    transport = httpx.ASGITransport(create_app(backend), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield client
    await backend.close()


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
async def test_each_has_its_status_and_code(hardened: httpx.AsyncClient, case: Case) -> None:
    reply = await hardened.post(case.path, content=case.body, headers=case.headers)

    told = reply.json() if reply.headers["content-type"] == "application/json" else {}
    assert (reply.status_code, _code(told)) == (case.status, case.code), reply.text[:500]
    if case.status != 200:
        assert {"error", "message", "detail", "code", "status"} <= set(told)
    assert (await hardened.get("/readyz")).status_code == 200


def _code(told: dict[str, Any]) -> str | None:
    rejected = told.get("rejected") or (told.get("detail") or {}).get("rejected")
    if rejected:
        return str(rejected[0]["code"])
    if told.get("failed_records"):
        return EVENT if "`" in told["failed_records"][0]["message"] else "too_large"
    return told.get("code") if isinstance(told.get("code"), str) else None


def basic(text: bytes) -> str:
    return f"Basic {base64.b64encode(text).decode()}"


KEYS: list[tuple[str, str, dict[str, str], dict[str, Any]]] = [
    ("none", "/v1/batch", {}, {}),
    ("nonsense", "/v1/batch", {"authorization": basic(b"nonsense:")}, {}),
    ("no scheme", "/v1/batch", {"authorization": "Bearer"}, {}),
    ("an unknown scheme", "/v1/batch", {"authorization": "Digest x"}, {}),
    ("no base64", "/v1/batch", {"authorization": "Basic ???"}, {}),
    ("no text", "/v1/batch", {"authorization": basic(b"\xff\xfe:")}, {}),
    ("a long one", "/v1/batch", {"authorization": "Bearer " + "x" * 5_000}, {}),
    ("an empty one", "/v1/batch?writeKey=", {}, {}),
    ("nonsense in the address", "/raydo?writeKey=x", {}, {}),
    ("nonsense in the body", "/v1/batch", {}, {"writeKey": "x"}),
    ("nonsense of PostHog's", "/batch/", {}, {"api_key": "phc_x"}),
    ("no tenant's", "/batch/", {}, {"api_key": "raydo_write_????_00"}),
    ("the server's, forged", "/batch/", {}, {"api_key": "raydo_server_00"}),
]  # fmt: skip


@pytest.mark.parametrize(("path", "headers", "body"), [case[1:] for case in KEYS], ids=[case[0] for case in KEYS])  # fmt: skip
async def test_a_bad_key_is_refused_in_the_one_way(
    keyed: Keyed,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    headers: dict[str, str],
    body: dict[str, Any],
) -> None:
    monkeypatch.setattr(verdicts, "KEY_REFUSAL_S", 0.0)
    reply = await keyed.client.post(path, json={"batch": [], **body}, headers=headers)
    assert (reply.status_code, reply.json()["code"]) == (401, "unauthorized")


async def test_a_key_in_two_minds_is_refused(keyed: Keyed) -> None:
    keys = [await keyed.key("write", tenant) for tenant in ("acme", "globex")]
    items = [{"event": "a", "distinct_id": "u", "api_key": key} for key in keys]
    reply = await keyed.client.post("/capture/", json=items)
    assert (reply.status_code, reply.json()["code"]) == (403, "forbidden")
