"""One numbered program of a session, from its queue until it is settled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from raydo.pipelining.errors import RaydoError
from raydo.pipelining.frame import Outcome, Reply, pack_error
from raydo.pipelining.links import put_in
from raydo.pipelining.state import Settled

if TYPE_CHECKING:
    from raydo.pipelining.convoy import Convoy, Linked


class Frame:
    """One numbered program, until it is settled."""

    __slots__ = (
        "again",
        "aside",
        "attempts",
        "convoy",
        "departed",
        "links",
        "n",
        "order",
        "program",
        "settle",
        "told",
        "travelling",
        "wanted",
    )

    def __init__(
        self,
        program: bytes,
        settle: Callable[[Reply | Exception], None],
        wanted: Callable[[], bool],
        *,
        aside: bool = False,
        told: bool = False,
        links: Sequence[Linked] = (),
    ) -> None:
        self.n = 0
        self.order = 0
        self.links = links  # what it needs of other objects' frames
        self.convoy: Convoy | None = None  # in which it gets that on the way
        self.departed = False
        self.aside = aside
        self.told = told  # whether casts are in it, so that nobody else would make it again
        self.program = program
        self.settle = settle
        self.wanted = wanted  # whether it should still be sent
        self.travelling = False
        self.again = False
        self.attempts = 0

    def complete(self) -> bool:
        """Put in what it needs, if that is not done on the way; False while it is not here."""
        if not self.links or self.convoy is not None:
            return True
        found: dict[int, Outcome] = {}
        for link in self.links:
            state = link.promise._state
            if type(state) is not Settled:
                return False
            error = state.error
            found[link.op] = (
                Outcome(False, state.value)
                if error is None
                else Outcome(True, pack_error(error)[0])
            )
        try:
            self.program = put_in(self.program, found)
        except RaydoError as error:  # what came is too much for one frame
            failed = Outcome(True, pack_error(error)[0])
            self.program = put_in(self.program, dict.fromkeys(found, failed))
        self.links = ()
        return True
