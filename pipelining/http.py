"""Envelopes over HTTP, to a gateway's `POST /rpc`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import httpx
import msgpack

from raydo.pipelining.errors import (
    ConnectionLost,
    InvalidArgument,
    NotConnected,
    RaydoError,
    RemoteError,
    Unavailable,
    decode_error,
)
from raydo.pipelining.limits import CALL_TIMEOUT_S
from raydo.pipelining.links import Link, Member, decode_results, encode_convoy
from raydo.pipelining.noun import Noun
from raydo.pipelining.transport import More, Transport

_UNAVAILABLE = frozenset({429, 502, 503, 504})  # what stands between may answer so as well


class HttpTransport:
    """Post each envelope; one pool of kept-alive connections serves all objects."""

    def __init__(self, url: str, key: str | None = None, timeout_s: float = CALL_TIMEOUT_S) -> None:
        if not url.startswith(("http://", "https://")):
            raise InvalidArgument(f"A gateway's address begins with http:// or https://: {url!r}.")
        self._url = url.rstrip("/") + "/rpc"
        headers = {"content-type": "application/msgpack"}
        if key is not None:
            headers["authorization"] = f"Bearer {key}"
        self._client = httpx.AsyncClient(headers=headers, timeout=timeout_s, trust_env=True)

    async def send(self, noun: Noun, envelope: bytes, more: More | None = None) -> bytes:
        """Post `envelope` and return the answer.

        Raises:
            ConnectionLost: no answer came; the envelope may have arrived.
            RaydoError: what the gateway said.
        """
        del more
        return await self._post(msgpack.packb([*noun, envelope]))

    async def send_together(
        self, members: Sequence[Member], links: Sequence[Link]
    ) -> list[bytes | dict[str, Any]]:
        """Post several envelopes in one request.

        Raises:
            ConnectionLost, RaydoError: as `send`, for all of them.
        """
        body = msgpack.packb(encode_convoy(members, links))
        return decode_results(await self._post(body), len(members))

    async def _post(self, body: bytes) -> bytes:
        try:
            response = await self._client.post(self._url, content=body)
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise ConnectionLost(
                f"No answer from {self._url}: {error or type(error).__name__}."
            ) from error
        except RuntimeError as error:  # httpx says so when its client has been closed
            raise NotConnected("This connection has been closed.") from error
        if response.status_code == 200:
            return response.content
        raise refusal(
            str(response.url),
            response.status_code,
            response.reason_phrase,
            response.content,
            response.headers.get("retry-after", ""),
        )

    async def close(self) -> None:
        await self._client.aclose()


def refusal(url: str, status: int, phrase: str, body: bytes, retry_after: str) -> RaydoError:
    """Read the error of a reply, which may come from something else than raydo."""
    try:
        wire: Any = json.loads(body)
    except ValueError:
        wire = None
    if isinstance(wire, dict) and isinstance(wire.get("code"), str):
        error = decode_error(wire)
    else:
        said = f"{url} answered {status} {phrase}."
        error = ConnectionLost(said) if status in _UNAVAILABLE else RemoteError(said)
    if isinstance(error, Unavailable) and error.retry_after_s is None and retry_after.isdecimal():
        error.retry_after_s = float(retry_after)
    return error


if TYPE_CHECKING:
    _conforms: Transport = HttpTransport("http://localhost")
