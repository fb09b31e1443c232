"""Every error that raydo raises, as one tree. Each has a stable code, an HTTP status, and says
whether the same call may succeed when it is made again.

* `RaydoError`
    * `CallerError`: the call was wrong; making it again changes nothing
        * `InvalidArgument`: a value of the wrong type or range
            * `InvalidTenant`, `InvalidEvent`
        * `UnknownMethod`: no such `@call` or `@cast`; `UnknownObject`: no such class
        * `PromiseMisused`: a promise used as if it were its value (also a `TypeError`)
        * `BadDeclaration`: a durable object's class is written wrongly (also a `TypeError`)
        * `NotConnected`: no connection to speak through
        * `TooLarge`: over a named limit of size
        * `UnsupportedMedia`: a content type or content encoding that is not understood
        * `QueryError`: SQL that does not run; `QueryForbidden`: SQL that may not; `QueryLimit`: over a limit
        * `DataInUse`: another process owns the data folder; `DataUnreadable`: not ours, or too new
        * `Unauthorized`: no key, or none that is known; `Forbidden`: not with this key, host name or origin
        * `OutcomeUnknown`: a retried program was applied, and its reply is no longer kept
    * `ObjectFailed`: the durable object's own code raised; carries the type's name
    * `Unavailable`: not now; the same call may succeed later (`retryable`)
        * `QuotaExceeded`: the tenant sends more than its quota; nothing of the call was taken
        * `Starting`, `Overloaded`, `ActivationBroken`, `TurnTooLong`, `StorageFull`
        * `ConnectionLost`: whether it was applied is unknown; `Moved`: it was not, the object lives elsewhere
        * `NodeDown`: the machine that has the tenant's folder is not there
        * `Confined`: the object was stopped by force too often, and rests
    * `ArchiveMismatch`: what the archive has is not what the database gave it; nothing was deleted
    * `TimedOut`: no answer in the time given; the outcome is unknown
    * `OutboxFull`: casts are dropped here, and this says how many
    * `RemoteError`: a code that this version does not know
"""

from __future__ import annotations

from typing import Any, ClassVar, Final


class RaydoError(Exception):
    """Carry a sentence, a stable `code`, an HTTP `status`, `retryable`, and a small `detail`."""

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False

    def __init__(
        self, message: str = "", *, detail: Any = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        return self.message

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "code" in cls.__dict__:
            assert cls.code not in _BY_CODE, f"two errors share the code {cls.code!r}"
            _BY_CODE[cls.code] = cls

    def __reduce__(self) -> tuple[Any, ...]:
        return (decode_error, (encode_error(self),))


_BY_CODE: Final[dict[str, type[RaydoError]]] = {"internal": RaydoError}


class CallerError(RaydoError):
    code = "bad_request"
    status = 400


class InvalidArgument(CallerError):
    code = "invalid_argument"


class InvalidTenant(InvalidArgument):
    code = "invalid_tenant"


class InvalidEvent(InvalidArgument):
    code = "invalid_event"


class UnknownMethod(CallerError):
    code = "unknown_method"
    status = 404


class UnknownObject(CallerError):
    code = "unknown_object"
    status = 404


class PromiseMisused(CallerError, TypeError):
    code = "promise_misused"


class BadDeclaration(CallerError, TypeError):
    code = "bad_declaration"


class NotConnected(CallerError):
    code = "not_connected"


class TooLarge(CallerError):
    code = "too_large"
    status = 413


class UnsupportedMedia(CallerError):
    code = "unsupported_media"
    status = 415


class QueryError(CallerError):
    code = "query_error"


class QueryForbidden(CallerError):
    code = "query_forbidden"
    status = 403


class QueryLimit(CallerError):
    code = "query_limit"
    status = 422


class DataInUse(CallerError):
    code = "data_in_use"
    status = 409


class DataUnreadable(CallerError):
    code = "data_unreadable"
    status = 409


class Unauthorized(CallerError):
    code = "unauthorized"
    status = 401


class Forbidden(CallerError):
    code = "forbidden"
    status = 403


class OutcomeUnknown(CallerError):
    code = "outcome_known"
    status = 409


class ObjectFailed(RaydoError):
    """Report that the object's own code raised; `detail["type"]` is the exception's type."""

    code = "object_failed"


class Unavailable(RaydoError):
    code = "unavailable"
    status = 503
    retryable = True


class QuotaExceeded(Unavailable):
    """Report a quota without room; `detail` is the quota (`actors/quota.py`)."""

    code = "quota_exceeded"
    status = 429


class Starting(Unavailable):
    code = "starting"


class Overloaded(Unavailable):
    code = "overloaded"


class ConnectionLost(Unavailable):
    code = "connection_lost"


class Moved(ConnectionLost):
    code = "moved"


class NodeDown(Unavailable):
    code = "node_down"


class Confined(Unavailable):
    code = "confined"


class ActivationBroken(Unavailable):
    code = "activation_broken"


class TurnTooLong(Unavailable):
    code = "turn_too_long"


class StorageFull(Unavailable):
    code = "storage_full"
    status = 507


class ArchiveMismatch(RaydoError):
    code = "archive_mismatch"


class TimedOut(RaydoError):
    code = "timed_out"
    status = 504


class OutboxFull(RaydoError):
    code = "outbox_full"
    status = 503
    retryable = True


class RemoteError(RaydoError):
    code = "remote_error"


def encode_error(error: BaseException) -> dict[str, Any]:
    """Turn any exception into its wire form: `{code, message, type, retryable, detail?, retry_after_s?}`.

    An exception that is not ours becomes `object_failed`; its traceback never travels.
    """
    if not isinstance(error, RaydoError):
        name = type(error).__name__
        error = ObjectFailed(f"{name}: {error}", detail={"type": name})
    wire: dict[str, Any] = {
        "code": error.code,
        "message": error.message,
        "type": type(error).__name__,
        "retryable": error.retryable,
    }
    if error.detail is not None:
        wire["detail"] = error.detail
    if error.retry_after_s is not None:
        wire["retry_after_s"] = error.retry_after_s
    return wire


def decode_error(wire: dict[str, Any]) -> RaydoError:
    """Turn the wire form back into the error class of its code, or `RemoteError`."""
    cls = _BY_CODE.get(wire.get("code", ""))
    detail = wire.get("detail")
    if cls is None:
        cls, detail = RemoteError, {"code": wire.get("code"), "detail": detail}
    return cls(str(wire.get("message", "")), detail=detail, retry_after_s=wire.get("retry_after_s"))
