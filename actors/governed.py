"""What governs a tenant's data: its audit log, exports, and the erasure of persons.

A client imports this to name the methods; what they need on a server is loaded when they run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from raydo.actors.audit_log import AuditLog
from raydo.actors.object import DurableObject
from raydo.pipelining.method import Exposed, call

if TYPE_CHECKING:
    from raydo.actors.erasures import Erased
    from raydo.actors.event import Event
    from raydo.actors.export import Plan


class Governed(DurableObject, register=False):
    """A tenant's events, and who may take them out, for good or as a copy."""

    audit = Exposed(AuditLog)

    @call
    def export_plan(
        self, since: str | None = None, to: str | None = None, tz: str | None = None
    ) -> Plan:
        """Begin an export of the events of some days, or of all: see `export`.

        Raises:
            InvalidArgument: no such date or zone.
        """
        from raydo.actors import export

        made = export.plan(self._state, since, to, tz)
        if self._state.database.path is not None:  # to ask for what never was makes no tenant
            self._state.audit.note("export", {"from": since, "to": to, "events": made["events"]})
        return made

    @call(aside=True)
    def export_stretch(self, after_seq: int, plan: Plan) -> dict[str, Any]:
        """Give the next rows of an export, up to `export.end_of`, as a query's reply.

        Raises:
            InvalidArgument: it is no plan. Unavailable: not now.
        """
        from raydo.actors import export

        reply: dict[str, Any] = self._state.asks.later(export.stretch(after_seq, plan))
        return reply

    @call(needs="erase")
    def erase(self, user_id: str) -> Erased:
        """Plan to erase a person: the events of all its ids, everywhere, and what is known of it.

        It is done beside the calls: `erasures` says how far it is. What arrives of the person from
        now on is new, and stays.

        Raises:
            InvalidArgument: no user id. Overloaded: too many erasures wait.
        """
        from raydo.actors import forgetting

        return forgetting.erase(self._state, user_id)

    @call(needs="erase")
    def erasures(self) -> list[Erased]:
        """List the erasures, the oldest first: how far they are, and what each has changed."""
        from raydo.actors.erasures import told

        return [told(each) for each in self._state.erasures.all()]

    @call
    def erase_again(self, listed: Sequence[Mapping[str, Any]]) -> list[Erased]:
        """Erase again, after a restore of an older copy, whom `erasures` listed before it.

        Raises:
            InvalidArgument: it is no such list.
        """
        from raydo.actors import forgetting

        return forgetting.erase_again(self._state, listed)

    def uncount(self, gone: Mapping[str, int], ids: Sequence[str], later: Sequence[Event]) -> int:
        """See `erasing.Counting`."""
        from raydo.actors import forgetting

        return forgetting.uncount(self, gone, ids, later)
