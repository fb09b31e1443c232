"""The audit log as callers may read it, and add to it what is done to the tenant from outside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from raydo.actors.audit import AuditRow
from raydo.pipelining.errors import InvalidArgument
from raydo.pipelining.limits import AUDIT_DETAIL_CHARS_MAX, AUDIT_LIST_MAX
from raydo.pipelining.method import call

if TYPE_CHECKING:
    from raydo.actors.state import State

OUTSIDE: Final = frozenset({"backup", "restore", "tenant_erased", "token_made", "tokens_revoked"})


class AuditLog:
    """Read what was done to an object, and add to it."""

    def __init__(self, state: State) -> None:
        self._state = state

    @call
    def list(self, before: int | None = None, limit: int = 100) -> list[AuditRow]:
        """List rows, the latest first; `before` is the `n` of the last one seen.

        Raises:
            InvalidArgument: no such number.
        """
        for number, most in ((limit, AUDIT_LIST_MAX), (1 if before is None else before, 2**62)):
            if not isinstance(number, int) or isinstance(number, bool) or not 0 < number <= most:
                raise InvalidArgument(f"A number from 1 to {most:,} is expected, not {number!r}.")
        self._state.before_statement()
        return self._state.audit.list(before, limit)

    @call
    def record(self, action: str, detail: dict[str, Any]) -> None:
        """Add what was done where the object could not see it: a backup, a restore, a token made.

        Raises:
            InvalidArgument: another action, or more to say than a row takes.
        """
        if action not in OUTSIDE:
            raise InvalidArgument(f"Only {', '.join(sorted(OUTSIDE))} are recorded by others.")
        if not isinstance(detail, dict) or len(str(detail)) > AUDIT_DETAIL_CHARS_MAX:
            raise InvalidArgument(f"A detail has at most {AUDIT_DETAIL_CHARS_MAX} characters.")
        self._state.audit.note(action, detail)
