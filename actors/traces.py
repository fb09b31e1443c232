"""What a tenant's object tells of one person, and of one event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from raydo.actors.object import DurableObject
from raydo.pipelining.errors import InvalidArgument
from raydo.pipelining.limits import TIMELINE_EVENTS
from raydo.pipelining.method import call


class Traces(DurableObject, register=False):
    """A tenant's events, one by one."""

    @call(js="getTimeline", alias=("get_timeline",), aside=True, needs="read")
    def timeline(
        self, user_id: str, before: int | str | None = None, limit: int = TIMELINE_EVENTS
    ) -> dict[str, Any]:
        """List one person's events, newest first, a page at a time.

        `before` is a moment in milliseconds, or the `next` of the page before this one.

        Raises:
            InvalidArgument: no such id, moment or number.
        """
        from raydo.actors import timeline

        moment, seq = timeline.parse_before(before)
        count = timeline.check_limit(limit)
        if not isinstance(user_id, str) or not user_id:
            raise InvalidArgument(f"A user's id is a text, not {user_id!r:.80}.")
        rollups = self.rollups
        ids = rollups.ids(user_id)
        plan = {"user_id": user_id, "ids": ids, "limit": count}
        first_ms = rollups.since(user_id, moment, count + 1)
        if first_ms is None:  # nobody, or nothing before that moment
            return timeline.shape(plan, rolled([]))
        asked = timeline.statement(ids, first_ms, (moment, seq), count + 1)
        return self._asked(asked, ["timeline", plan], None, first_ms)

    @call(js="getEvent", aside=True, needs="read")
    def event(self, message_id: str) -> dict[str, Any]:
        """Say where the event with this id is: in the log, in SQLite and rolled up, archived.

        Raises:
            InvalidArgument: it is no id.
        """
        from raydo.actors import whereabouts

        checked = whereabouts.check_id(message_id)
        here = whereabouts.undrained(self._state, checked)
        if here is not None:
            return here
        shape = ["event", whereabouts.plan_of(self._state, checked)]
        return self._asked((whereabouts.SELECT, {"id": checked}), shape)

    def _asked(
        self,
        asked: tuple[str, Mapping[str, Any]],
        shape: Sequence[Any],
        zone: str | None = None,
        first_ms: int | None = None,
    ) -> dict[str, Any]:
        """Ask by SQL for what is then made into the reply; it may come beside the turns."""
        from raydo.actors.asks import Ask
        from raydo.actors.question import PRESENT

        sql, values = asked
        ask = Ask(sql, dict(values), None, PRESENT, zone, first_ms, shape)
        reply: Any = self._state.asks.answer(ask)
        return reply  # type: ignore[no-any-return]  # or what postpones it


def rolled(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Make a reply of rows that the rollups gave."""
    return {"layer": "L2", "rows": rows, "truncated": False}
