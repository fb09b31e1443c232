"""`raydo tail`: a tenant's events as they come, by the subscription that any client has."""

from __future__ import annotations

import asyncio
import json as json_format
import sys
from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from raydo.gateway.options import Data, Json, Key, Tenant, Url
from raydo.pipelining.errors import InvalidArgument

Filter = Annotated[
    list[str] | None,
    typer.Option(
        "--filter",
        "-f",
        metavar="WHAT",
        help="event:NAME, user:ID or property:VALUE; `!:` for not. All of them hold.",
    ),
]
Since = Annotated[
    int | None,
    typer.Option(min=0, metavar="CURSOR", help="Begin after this seq; by default with what comes."),
]


def tail(
    *,
    tenant: Tenant = "default",
    filter_: Filter = None,
    since: Since = None,
    url: Url = None,
    key: Key = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Show a tenant's events as they come, until Ctrl-C."""
    from raydo.gateway.target import target

    tests = [_Test(text) for text in filter_ or ()]
    where = target(url, data, key)
    with suppress(KeyboardInterrupt, BrokenPipeError):
        asyncio.run(_follow(where, tenant, tests, since, json=json))


class _Test:
    """One condition on an event."""

    def __init__(self, text: str) -> None:
        name, colon, self._value = text.partition(":")
        if not colon or not name.rstrip("!"):
            raise InvalidArgument(f"--filter takes name:value or name!:value, not {text!r}.")
        self._name = name.removesuffix("!")
        self._not = name.endswith("!")

    def __call__(self, event: dict[str, Any]) -> bool:
        return (self._found(event) == self._value) != self._not

    def _found(self, event: dict[str, Any]) -> str | None:
        match self._name:
            case "event":
                found = event["event"]
            case "user":
                found = event["userId"]
            case name:
                found = (event["properties"] or {}).get(name)
        if found is None or isinstance(found, str):
            return found
        return json_format.dumps(found)


async def _follow(
    where: Any, tenant: str, tests: list[_Test], since: int | None, *, json: bool
) -> None:
    import raydo
    from raydo.actors.analytics import Analytics

    async with where.connect() as connection:
        async for change in raydo.subscribe(connection.stub(Analytics, tenant), since):
            for event in change["events"]:
                if all(test(event) for test in tests):
                    sys.stdout.write(
                        (_line(event) if not json else json_format.dumps(event)) + "\n"
                    )
            sys.stdout.flush()


def _line(event: dict[str, Any]) -> str:
    at = datetime.fromtimestamp(event["timestamp"] / 1_000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    properties = json_format.dumps(event["properties"], ensure_ascii=False)
    return f"{at}  {event['event']}  {event['userId'] or '-'}  {properties}"
