"""Work that no turn may wait for, done in another process or thread.

What is given must be a plain function and plain data: with Ray both travel. Its libraries are
loaded there, so a tenant's own process never has them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TypeVar

from raydo.actors.place import machine, pinned
from raydo.pipelining.errors import ConnectionLost

A = TypeVar("A")
R = TypeVar("R")


class Elsewhere(Protocol):
    """Do something with one argument somewhere else."""

    async def __call__(self, work: Callable[[A], R], argument: A, /) -> R: ...


async def on_a_thread(work: Callable[[A], R], argument: A, /) -> R:
    """Be `Elsewhere` in a process without Ray."""
    return await asyncio.to_thread(work, argument)


async def by_ray(work: Callable[[A], R], argument: A, /) -> R:
    """Be `Elsewhere` in a host: a Ray task, in a process of its own, on the same machine.

    It takes a CPU of Ray's, and hosts take none: so no machine does more of these than it has cores.

    Raises:
        RaydoError: as `work`. ConnectionLost: its process ended before it did.
    """
    import ray
    from ray.exceptions import RayError, RayTaskError

    task = ray.remote(num_cpus=1, max_retries=0, **pinned(machine()))(work)
    try:
        result: R = await task.remote(argument)
    except RayTaskError as error:
        raise error.cause from None
    except RayError as error:  # its process died, or its machine
        raise ConnectionLost(f"The process that did it is gone: {error}") from None
    return result


if TYPE_CHECKING:
    _conform: tuple[Elsewhere, Elsewhere] = (on_a_thread, by_ray)
