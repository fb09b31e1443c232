"""What the gateway answers: JSON of one shape for success and one for every failure.

The two shapes satisfy the clients of five vendors at once. Success is always 200: two common
clients send a batch again when they read 202. The error body carries `status` 0, `code`,
`message` and `detail`, since one client retries a permanent error that lacks them.
"""

from __future__ import annotations

import math
from http import HTTPStatus
from typing import Any, Final

import msgspec
from starlette.exceptions import HTTPException
from starlette.responses import Response

from raydo.actors.quota import Quota
from raydo.gateway.delivery import Delivery, Told
from raydo.pipelining.errors import QuotaExceeded, RaydoError, decode_error

JSON: Final = "application/json"
_RETRY_AFTER_S: Final = 1.0  # of a retryable error that names no time itself

_encode: Final = msgspec.json.Encoder().encode


def answer(value: Any, status: int = 200) -> Response:
    """Answer any JSON value as it is."""
    return Response(_encode(value), status, media_type=JSON)


def success(**fields: Any) -> Response:
    """Answer an accepted write."""
    return answer({"success": True, "status": 1, "error": None, **fields})


def judged(told: Told, _delivery: Delivery) -> Response:
    """Answer the one event that a request held.

    Raises:
        RaydoError: it was rejected.
    """
    if told.rejected:
        [rejected] = told.rejected
        raise decode_error({"code": rejected["code"], "message": rejected["error"]})
    return success(id=told.ids[0])


def counted(told: Told, _delivery: Delivery) -> Response:
    """Answer many events; with 200 although some were rejected, or a client would send all again."""
    return success(accepted=told.accepted, duplicates=told.duplicates, rejected=told.rejected)


def failure(error: RaydoError) -> Response:
    """Answer an error with its status, its stable code, and Retry-After if it may pass."""
    response = _failed(error.status, error.code, error.message, error.detail)
    if error.retryable:
        retry_after_s = error.retry_after_s or _RETRY_AFTER_S
        response.headers["retry-after"] = str(math.ceil(retry_after_s))
    if isinstance(error, QuotaExceeded):
        response.headers.update(quota_headers(error.detail))
    return response


def quota_headers(quota: Quota) -> dict[str, str]:
    """Tell a quota as clients look for it; Reset is in seconds since 1970."""
    return {
        "x-ratelimit-limit": str(quota["limit"]),
        "x-ratelimit-remaining": str(quota["remaining"]),
        "x-ratelimit-reset": str(math.ceil(quota["reset_ms"] / 1_000)),
    }


def http_failure(error: HTTPException) -> Response:
    """Answer what the router refused (404, 405) in the same shape as everything else."""
    phrase = HTTPStatus(error.status_code).phrase
    response = _failed(error.status_code, phrase.lower().replace(" ", "_"), f"{phrase}.", None)
    response.headers.update(error.headers or {})
    return response


def _failed(status: int, code: str, sentence: str, detail: Any) -> Response:
    body = {
        "success": False,
        "status": 0,
        "error": sentence,
        "code": code,
        "message": sentence,
        "detail": detail,
    }
    return answer(body, status)
