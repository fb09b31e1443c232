"""What a tenant remembers of each client session, so that a retry is answered and not repeated.

A session numbers its programs from 1. `last` is the highest that was applied, `acked` the highest
whose answer the client has; between them lie the replies that a retry may ask for. Only programs
with effects leave a trace on disk, in the transaction of their effects: a program that only read
is simply run again. So after a restart `last` may be too low by programs that only read, and the
client, told of the gap, sends those again.

Bounded: SESSIONS_MAX sessions, SESSION_REPLIES_MAX programs each. A retry from a session that was
forgotten meanwhile would be applied anew, which is why the longest unused goes first.
"""

from __future__ import annotations

from typing import NamedTuple

from raydo.actors.database import Database
from raydo.pipelining.frame import APPLIED, GAP, KNOWN, Answer, Entry
from raydo.pipelining.limits import REPLY_KEPT_BYTES_MAX, SESSION_REPLIES_MAX, SESSIONS_MAX


class Session(NamedTuple):
    """How far one session is: applied to `last`, and settled to `acked`."""

    last: int = 0
    acked: int = 0


Snapshot = dict[bytes, Session]


class Sessions:
    """Decide for each entry whether it is applied, and remember what was."""

    def __init__(self) -> None:
        self._sessions: Snapshot = {}  # in order of use, the latest at the end
        self._changed: dict[bytes, None] = {}
        self._replies: dict[tuple[bytes, int], bytes | None] = {}
        self._database: Database | None = None
        self.unknown = 0  # sessions met that no row told of

    def attach(self, database: Database) -> None:
        """Look sessions up in `database` from here on."""
        self._database = database

    def snapshot(self) -> Snapshot:
        """Return what is remembered, to go back to by `restore`."""
        return dict(self._sessions)

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a moment when nothing waited to be written."""
        self._sessions = dict(snapshot)
        self.settle()

    def answer(self, entry: Entry) -> Answer | None:
        """Answer an entry without running it, or return None: run it."""
        session = self._session(entry)
        expected = session.last + 1
        if entry.n > expected:
            return Answer(GAP, expected)
        if entry.n == expected:
            return None
        if entry.n <= max(session.acked, session.last - SESSION_REPLIES_MAX):
            return Answer(KNOWN, None)
        kept = self._kept(entry)
        if not kept:
            return None  # it only read
        return Answer(KNOWN, None) if kept[0] is None else Answer(APPLIED, kept[0])

    def applied(self, entry: Entry, reply: bytes, *, effects: bool) -> None:
        """Remember that an entry was applied, and its reply if it must not run again."""
        session = self._sessions[entry.session]
        self._sessions[entry.session] = session._replace(last=max(session.last, entry.n))
        if effects:
            kept = reply if len(reply) <= REPLY_KEPT_BYTES_MAX else None
            self._replies[entry.session, entry.n] = kept
            self._changed[entry.session] = None

    def changed(self) -> list[tuple[bytes, int, int]]:
        """List the sessions to write: name, last, acked."""
        return [(name, *self._sessions[name]) for name in self._changed]

    def replies(self) -> list[tuple[bytes, int, bytes | None]]:
        """List the replies to write: session, number, reply or None for one too large to keep."""
        return [(name, n, reply) for (name, n), reply in self._replies.items()]

    def settle(self) -> None:
        """What waited is on disk, or given up; forget the sessions unused for longest."""
        self._changed.clear()
        self._replies.clear()
        for name in list(self._sessions)[: max(0, len(self._sessions) - SESSIONS_MAX)]:
            del self._sessions[name]

    def _session(self, entry: Entry) -> Session:
        """Find the session, now the latest used, with what this entry settles."""
        session = self._sessions.pop(entry.session, None) or self._stored(entry.session)
        # Whoever knows the answers up to `acked_to` has seen those programs applied.
        session = Session(max(session.last, entry.acked_to), max(session.acked, entry.acked_to))
        self._sessions[entry.session] = session
        return session

    def _stored(self, name: bytes) -> Session:
        assert self._database is not None
        rows = self._database.run(
            "SELECT last, acked FROM _raydo_sessions WHERE session = ?", (name,)
        )
        self.unknown += not rows
        return Session(*rows[0]) if rows else Session()

    def _kept(self, entry: Entry) -> tuple[bytes | None] | tuple[()]:
        key = (entry.session, entry.n)
        if key in self._replies:
            return (self._replies[key],)
        assert self._database is not None
        rows = self._database.run(
            "SELECT reply FROM _raydo_replies WHERE session = ? AND n = ?", key
        )
        return rows[0] if rows else ()
