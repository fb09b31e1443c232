"""`/raydo.js`, a small script for web pages, and `/raydo`, where it sends what it saw.

What it sends is in Segment's shape. The browser's own name, which it sends with every request, is
taken for these events alone: any other client's request comes from a server that speaks for users.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files
from typing import Final, NamedTuple

from starlette.responses import Response
from starlette.types import Receive, Scope

from raydo.gateway.delivery import Asked, Delivery, Raw, encode
from raydo.gateway.headers import header
from raydo.gateway.segment import read_envelope
from raydo.pipelining.limits import SCRIPT_CACHE_S, USER_AGENT_CHARS_MAX

PATH: Final = "/raydo.js"
EVENTS: Final = "/raydo"


class _Script(NamedTuple):
    text: bytes
    headers: dict[str, str]


def read(body: bytes, asked: Asked) -> Delivery:
    """Read an envelope of the script's; its context gains the browser's name.

    Raises:
        InvalidArgument: not JSON, or no envelope. TooLarge: over SEGMENT_BATCH_BYTES_MAX.
    """
    agent = asked.header(b"user-agent")
    context = {"userAgent": Raw(encode(agent[:USER_AGENT_CHARS_MAX]))} if agent else {}
    return read_envelope(body, asked, context)


async def script(scope: Scope, _receive: Receive) -> Response:
    """Answer the script, or that the browser has it already."""
    found = _script()
    if header(scope, b"if-none-match") == found.headers["etag"].encode():
        return Response(status_code=304, headers=found.headers)
    return Response(found.text, headers=found.headers, media_type="text/javascript")


@cache
def _script() -> _Script:
    text = (files("raydo.gateway") / "raydo.js").read_bytes()
    headers = {
        "etag": f'"{hashlib.sha256(text).hexdigest()[:32]}"',
        "cache-control": f"public, max-age={SCRIPT_CACHE_S}",
        # Any page may load it: it is public, and holds nothing of anybody.
        "access-control-allow-origin": "*",
        "cross-origin-resource-policy": "cross-origin",
        "x-content-type-options": "nosniff",
    }
    return _Script(text, headers)
