"""What a tenant remembers of each client session, so that a retry is answered and not repeated.

A session numbers its programs from 1. `last` is the highest that was applied, `acked` the highest
whose answer the client has; between them lie the replies that a retry may ask for. Only programs
with effects leave a trace on disk, together with their effects: a program that only read is simply
run again. So after a restart `last` may be too low by programs that only read, and the client, told
of the gap, sends those again.

Bounded: SESSIONS_MAX sessions, SESSIONS_HELD_MAX of them in memory, SESSION_REPLIES_MAX programs each. A retry from a session that was
forgotten meanwhile would be applied anew, which is why the longest unused goes first.
"""

from __future__ import annotations

from itertools import islice
from typing import NamedTuple

from raydo.actors.database import Database
from raydo.pipelining.frame import APPLIED, GAP, KNOWN, Answer, Entry
from raydo.pipelining.limits import REPLY_KEPT_BYTES_MAX, SESSION_REPLIES_MAX, SESSIONS_HELD_MAX


class Session(NamedTuple):
    """How far one session is: applied to `last`, and settled to `acked`."""

    last: int = 0
    acked: int = 0


Reply = bytes | None  # None: too large to keep


class Sessions:
    """Decide for each entry whether it is applied, and remember what was."""

    def __init__(self) -> None:
        self._sessions: dict[bytes, Session] = {}  # in order of use, the latest at the end
        self._before: dict[bytes, Session | None] = {}  # what this turn found
        self._changed: dict[bytes, None] = {}  # this turn's
        self._replies: dict[tuple[bytes, int], Reply] = {}  # this turn's
        self._undrained: dict[tuple[bytes, int], Reply] = {}  # in the log, and not in the database
        self._held: set[bytes] = set()  # sessions that are so
        self._database: Database | None = None

    def attach(self, database: Database) -> None:
        """Look sessions up in `database` from here on."""
        self._database = database

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

    def replies(self) -> list[tuple[bytes, int, Reply]]:
        """List the replies to write: session, number, reply or None for one too large to keep."""
        return [(name, n, reply) for (name, n), reply in self._replies.items()]

    def rollback(self) -> None:
        """Forget this turn."""
        for name, session in self._before.items():
            if session is None:
                del self._sessions[name]
            else:
                self._sessions[name] = session
        self._end()

    def settle(self, *, drained: bool) -> None:
        """This turn is on disk; `drained` when the database has all of it."""
        if drained:
            self.drained()
        else:
            self._undrained.update(self._replies)
            self._held.update(self._changed)
        self._end()
        excess = len(self._sessions) - SESSIONS_HELD_MAX
        if excess > 0:
            for name in list(islice(self._sessions, excess)):
                if name not in self._held:
                    del self._sessions[name]

    def drained(self) -> None:
        """The database has everything."""
        self._undrained.clear()
        self._held.clear()

    def _end(self) -> None:
        self._before.clear()
        self._changed.clear()
        self._replies.clear()

    def _session(self, entry: Entry) -> Session:
        """Find the session, now the latest used, with what this entry settles."""
        name = entry.session
        known = self._sessions.pop(name, None)
        self._before.setdefault(name, known)
        session = known or self._stored(name)
        # Whoever knows the answers up to `acked_to` has seen those programs applied.
        session = Session(max(session.last, entry.acked_to), max(session.acked, entry.acked_to))
        self._sessions[name] = session
        return session

    def _stored(self, name: bytes) -> Session:
        assert self._database is not None
        rows = self._database.run(
            "SELECT last, acked FROM _raydo_sessions WHERE session = ?", (name,)
        )
        return Session(*rows[0]) if rows else Session()

    def _kept(self, entry: Entry) -> tuple[Reply] | tuple[()]:
        key = (entry.session, entry.n)
        for replies in (self._replies, self._undrained):
            if key in replies:
                return (replies[key],)
        assert self._database is not None
        rows = self._database.run(
            "SELECT reply FROM _raydo_replies WHERE session = ? AND n = ?", key
        )
        return rows[0] if rows else ()
