"""What directory and hosts tell each other: a verb and its arguments, on the lines of the frames.

A request of a line either bears an envelope, `[class, tenant, envelope]`, or runs an errand,
`["", verb, arguments]`; no class has an empty name. Only processes of this user reach the sockets.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from raydo.pipelining.codec import pack, unpack
from raydo.pipelining.errors import InvalidArgument
from raydo.pipelining.noun import Noun


class Parcelled(NamedTuple):
    """A request that bears an envelope."""

    noun: Noun
    envelope: bytes


class Errand(NamedTuple):
    """A request to do something, by its name."""

    verb: str
    arguments: dict[str, Any]

    @property
    def noun(self) -> Noun:
        """The object that it is about."""
        return Noun(*self.arguments["noun"])


Verbs = Mapping[str, Callable[[Errand], Awaitable[Any]]]


def errand(verb: str, noun: Noun | None = None, **arguments: Any) -> bytes:
    """Write an errand."""
    if noun is not None:
        arguments["noun"] = list(noun)
    return pack(["", verb, arguments])


def read_request(payload: bytes) -> Parcelled | Errand:
    """Read the payload of a request.

    Raises:
        InvalidArgument: it is neither.
    """
    match unpack(payload):
        case ["", str(verb), dict(arguments)]:
            return Errand(verb, arguments)
        case [str(cls), str(tenant), bytes(envelope)]:
            return Parcelled(Noun(cls, tenant), envelope)
    raise InvalidArgument("A request holds a class's name, a tenant and an envelope.")


async def run_errand(verbs: Verbs, given: Errand) -> bytes:
    """Do what an errand says, and write its answer.

    Raises:
        InvalidArgument: nobody here knows the verb, or its arguments are none.
    """
    try:
        return pack(await verbs[given.verb](given))
    except (KeyError, TypeError) as error:
        raise InvalidArgument(f"{given.verb!r} is no errand for this process: {error}.") from error
