"""Mixpanel's ingestion API under `/mixpanel/`: `track`, `import`, `engage` and `groups`.

An event's `token` is the key and is not kept; `time` is in seconds (a number too large for that is
in milliseconds), and `$insert_id` is the message id. `$user_id` is the user, `$device_id` the
anonymous id, and a `distinct_id` the user where there is no `$user_id`. A profile's update is an
`$identify` event, a group's is `$group`: `$set` is in `properties.traits`, other operations stand
beside it as they came. `$create_alias`, `$merge` and Mixpanel's own `$identify` link persons.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from functools import partial
from math import isfinite
from typing import Final
from urllib.parse import parse_qsl

import msgspec
from starlette.responses import PlainTextResponse, Response

from raydo.actors.event_checks import refused
from raydo.gateway.body import json_text, many_events
from raydo.gateway.delivery import (
    Asked,
    Delivery,
    Field,
    Fields,
    Raw,
    Shape,
    Told,
    Turned,
    deliver,
    fields,
    first,
    given,
    require,
    text,
)
from raydo.gateway.replies import answer, success
from raydo.pipelining.errors import InvalidArgument
from raydo.pipelining.limits import FORM_FIELDS_MAX, MIXPANEL_SECONDS_MAX

_DEVICE: Final = "$device:"  # how Mixpanel's SDKs mark a distinct_id that is a device's
_DROPPED: Final = ("$token", "$distinct_id", "$group_id", "$time", "$ip", "$ignore_time")

_number: Final = msgspec.json.Decoder(float).decode
_ids: Final = msgspec.json.Decoder(list[Raw]).decode


class _Item(msgspec.Struct, gc=False):
    event: Field = msgspec.UNSET
    properties: Field = msgspec.UNSET


_item: Final = msgspec.json.Decoder(_Item).decode


def reader(path: str) -> Callable[[bytes, Asked], Delivery]:
    """Give what reads a body that was sent to `track`, `import`, `engage` or `groups`."""
    return partial(_read, turn=_TURNS[path])


def reply_track(told: Told, delivery: Delivery) -> Response:
    """Say 1, or with `verbose=1` in JSON what became of the events; an error if none was taken."""
    if told.rejected and not _taken(told):
        return _failed(told, 0, told.rejected[0]["error"])
    if delivery.asked.query.get("verbose") != "1":
        return PlainTextResponse("1")
    return success(accepted=told.accepted, duplicates=told.duplicates, rejected=told.rejected)


def reply_import(told: Told, delivery: Delivery) -> Response:
    """Say how many records were taken; with `strict=1` the status is 400 if some were not."""
    strict = delivery.asked.query.get("strict") == "1"
    failed = [
        {
            "index": each["index"],
            "insert_id": delivery.names[each["index"]],
            "field": _field(each["error"]),
            "message": each["error"],
        }
        for each in told.rejected
    ]
    done = {"num_records_imported": _taken(told), "failed_records": failed}
    if failed and strict:
        return _failed(told, "Bad Request", "Some records failed validation.", **done)
    status = 1 if delivery.asked.query.get("verbose") == "1" else "OK"
    return answer({"success": True, "error": None, "code": 200, "status": status, **done})


def _failed(told: Told, status: object, sentence: str, **more: object) -> Response:
    body = {
        "success": False,
        "status": status,
        "error": sentence,
        "code": 400,
        "message": sentence,
        "detail": {"rejected": told.rejected},
        **more,
    }
    return answer(body, 400)


def _taken(told: Told) -> int:
    return told.accepted + told.duplicates


def _field(error: str) -> str:
    """Read which field a sentence is about."""
    return error.split("`")[1].removeprefix("$.") if error.startswith("`") else ""


def _read(body: bytes, asked: Asked, *, turn: Callable[[bytes], Turned]) -> Delivery:
    body = json_text(body)
    form: dict[str, str] = {}
    if not body.startswith((b"[", b"{")):
        form, body = _form(body)
    delivery = deliver(many_events(body).items, turn, _insert_id)
    delivery.asked = Asked({**asked.query, **form}, asked.headers)
    delivery.key = form.get("api_key") or delivery.key
    return delivery


def _form(body: bytes) -> tuple[dict[str, str], bytes]:
    """Read a form: its fields, and the JSON in `data`, which older SDKs wrap in base64.

    Raises:
        InvalidArgument: it is none, or has no data.
    """
    try:
        form = dict(parse_qsl(body.decode(), errors="strict", max_num_fields=FORM_FIELDS_MAX))
    except ValueError:
        raise InvalidArgument("The body is neither JSON nor a form of UTF-8.") from None
    data = form.pop("data", "").strip()
    if not data:
        raise InvalidArgument("The body is neither JSON nor a form with the field data.")
    if data.startswith(("[", "{")):
        return form, data.encode()
    try:
        return form, base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidArgument("data is neither JSON nor JSON in base64.") from None


def _insert_id(raw: bytes) -> Field:
    return fields(_item(raw).properties, "$").get("$insert_id", msgspec.UNSET)


def _event(raw: bytes) -> Turned:
    item = _item(raw)
    require(item.event, "$.event", "every event has a name")
    properties = fields(item.properties, "$.properties")
    key = text(properties.pop("token", msgspec.UNSET))
    insert_id = properties.pop("$insert_id", msgspec.UNSET)
    stated = properties.pop("time", msgspec.UNSET)
    name = text(item.event)
    shape = _LINKS[name](properties) if name in _LINKS else _tracked(item.event, properties)
    shape.timestamp = _time(stated, "$.properties.time")
    shape.message = insert_id
    return Turned(shape, key, text(insert_id))


def _tracked(event: Field, properties: Fields) -> Shape:
    distinct = properties.pop("distinct_id", msgspec.UNSET)
    user, device = (properties.get(name, msgspec.UNSET) for name in ("$user_id", "$device_id"))
    if (text(distinct) or "").startswith(_DEVICE):
        device = first(device, distinct)
    elif text(distinct) != text(device):
        user = first(user, distinct)
    return Shape(event, properties, user, device)


def _create_alias(properties: Fields) -> Shape:
    """Make `alias` the person whose id was `distinct_id` before."""
    user = properties.pop("alias", msgspec.UNSET)
    before = properties.pop("distinct_id", msgspec.UNSET)
    require(user, "$.properties.alias", "an alias names the other id")
    require(before, "$.properties.distinct_id", "an alias names the id from before")
    return Shape("$alias", {**properties, "previousId": before}, user)


def _merge(properties: Fields) -> Shape:
    """Make the second of two ids the same person as the first."""
    ids = properties.pop("$distinct_ids", msgspec.UNSET)
    pair = _ids(ids) if isinstance(ids, Raw) else []
    if len(pair) != 2 or not all(map(given, pair)):
        raise refused("$.properties.$distinct_ids", "a merge names two ids")
    return Shape("$alias", {**properties, "previousId": pair[1]}, pair[0])


def _identified(properties: Fields) -> Shape:
    user = properties.pop("$identified_id", msgspec.UNSET)
    anonymous = properties.pop("$anon_id", msgspec.UNSET)
    distinct = properties.pop("distinct_id", msgspec.UNSET)
    return Shape("$identify", properties, first(user, distinct), anonymous)


def _profile(raw: bytes) -> Turned:
    found = fields(Raw(raw), "$")
    user = found.get("$distinct_id", msgspec.UNSET)
    require(user, "$.$distinct_id", "a profile's update names the user")
    return _updated(found, Shape("$identify", {}, user))


def _group(raw: bytes) -> Turned:
    found = fields(Raw(raw), "$")
    group, kind = (found.get(name, msgspec.UNSET) for name in ("$group_id", "$group_key"))
    require(group, "$.$group_id", "a group's update names the group")
    found.pop("$group_key", None)
    named = {"groupId": group, "groupType": kind}
    about = {name: value for name, value in named.items() if given(value)}
    return _updated(found, Shape("$group", about))


def _updated(found: Fields, shape: Shape) -> Turned:
    shape.timestamp = _time(found.get("$time", msgspec.UNSET), "$.$time")
    key = text(found.get("$token", msgspec.UNSET))
    operations = {name: value for name, value in found.items() if name not in _DROPPED}
    if "$set" in operations:
        operations["traits"] = operations.pop("$set")
    shape.properties = {**shape.properties, **operations}
    return Turned(shape, key)


def _time(stated: Field, path: str) -> Field | int:
    """Turn seconds into milliseconds; what is no number is left to be judged where times are."""
    if not given(stated):
        return msgspec.UNSET
    assert isinstance(stated, Raw)
    written = text(stated)  # some SDKs send the number as text
    try:
        number = _number(stated) if written is None else float(written)
    except (msgspec.DecodeError, ValueError):
        return stated
    if not isfinite(number):
        raise refused(path, "a time must be finite")
    return round(number * 1_000 if abs(number) < MIXPANEL_SECONDS_MAX else number)


_LINKS: Final[dict[str | None, Callable[[Fields], Shape]]] = {
    "$create_alias": _create_alias,
    "$merge": _merge,
    "$identify": _identified,
}
_TURNS: Final[dict[str, Callable[[bytes], Turned]]] = {
    "track": _event,
    "import": _event,
    "engage": _profile,
    "groups": _group,
}
PATHS: Final = tuple(_TURNS)
