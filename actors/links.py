"""Which ids are one human: what events say about it, and who decides.

An event that carries a known user's id and an anonymous one links the two: the anonymous id is that
user's from the beginning, what came before included. In the order of receipt the first user keeps
it: an id that was linked before, or that others were linked to, is not linked by an event again,
so a shared device never makes one person of two. An event `$alias` links `properties.previousId`
to its user whatever was before.

The events are the truth, in the order of their seqs: whoever applies `Identities.join` to them
comes to the same persons. The drain does, in its transaction, and keeps the outcome in
`merged_ids`; the turn does, ahead of it, so that whoever is active now counts once at once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from raydo.pipelining.limits import EVENT_ID_BYTES_MAX, USERS_CACHED_MAX

if TYPE_CHECKING:
    from raydo.actors.event import Event
    from raydo.actors.merged_ids import MergedIds

ALIAS: Final = "$alias"

Join = tuple[str, str]  # a person's id, and that of the person whom it belongs to from now on


class Link(NamedTuple):
    """What one event says: `previous` is another id of `user`."""

    previous: str
    user: str
    explicit: bool


class _Alias(msgspec.Struct, gc=False):
    previous: str | int | float | None = msgspec.field(name="previousId", default=None)
    previous_id: str | int | float | None = None


_alias = msgspec.json.Decoder(_Alias).decode


def links_of(events: Iterable[Event]) -> list[Link]:
    """List what events say, in their order, each once: saying it again changes nothing."""
    links: dict[Link, None] = {}
    for event in events:
        anonymous_id, user_id = event.anonymous_id, event.user_id
        if anonymous_id is not None and user_id is not None and anonymous_id != user_id:
            links[Link(anonymous_id, user_id, explicit=False)] = None
        if event.event == ALIAS and user_id is not None:
            previous = _previous(event.properties)
            if previous is not None and previous != user_id:
                links[Link(previous, user_id, explicit=True)] = None
    return list(links)


def _previous(properties: str) -> str | None:
    """Read the other id of an alias, by the rules for any id; one that is none links nothing."""
    try:
        found = _alias(properties)
    except msgspec.DecodeError:
        return None
    value = found.previous_id if found.previous in (None, "") else found.previous
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        value = str(int(value) if isinstance(value, float) and value.is_integer() else value)
    fits = "\0" not in value and len(value.encode(errors="replace")) <= EVENT_ID_BYTES_MAX
    return value if fits else None


class Identities:
    """Decide who is who, by what is stored and what was linked since."""

    def __init__(self, merged: MergedIds) -> None:
        self._merged = merged
        self._new: dict[str, str] = {}  # linked and not stored yet; a person stands for itself
        self._known: dict[str, str] = {}  # as stored at some time since
        self._any: bool | None = None  # whether anything is stored
        self._journal: list[tuple[int, str, str | None]] = []  # what `_new` held before

    def persons(self, ids: Collection[str]) -> dict[str, str]:
        """Return the person of each id that is not a person of its own."""
        if not self._new and not self._has_stored():
            return {}
        self._load(ids)
        roots = {each: self._root(each) for each in ids}
        return {each: root for each, root in roots.items() if root != each}

    def join(self, links: Sequence[Link], mark: int = 0) -> list[Join]:
        """Take links in, in the order of receipt; list the persons that became another's.

        `mark` is what `rollback` may be told later.
        """
        if not links:
            return []
        self._load({each for link in links for each in link[:2]})
        settled = self._merged.joined([link.previous for link in links if self._is_own(link)])
        joins = []
        for link in links:
            previous, person = self._root(link.previous), self._root(link.user)
            if previous == person:
                continue
            if link.explicit or not (
                previous != link.previous or previous in self._new or previous in settled
            ):
                self._note(mark, previous, person)
                self._note(mark, person, person)
                joins.append((previous, person))
        return joins

    def rollback(self, mark: int) -> None:
        """Forget what was linked at `mark` or after it."""
        undone = False
        while self._journal and self._journal[-1][0] >= mark:
            _, each, before = self._journal.pop()
            undone = True
            if before is None:
                del self._new[each]
            else:
                self._new[each] = before
        if undone:
            self._known.clear()  # it may have been read from rows that are taken back as well

    def settle(self, *, stored: bool) -> None:
        """Keep what the turn linked; with `stored`, the database has all of it."""
        self._journal.clear()
        if stored and self._new:
            self._known.update(self._new)
            self._new.clear()
            self._any = True
        if len(self._known) > USERS_CACHED_MAX:
            self._known.clear()  # not some of it: an id leads to its person by way of others

    def forget(self, ids: Iterable[str] | None = None) -> None:
        """Forget that ids were linked, or all that is not stored: they are erased or expired."""
        self._known.clear()
        for each in list(self._new) if ids is None else ids:
            self._new.pop(each, None)
        self._journal.clear()

    def _has_stored(self) -> bool:
        if self._any is None:
            self._any = self._merged.exist()
        return self._any

    def _load(self, ids: Iterable[str]) -> None:
        missing = [each for each in ids if each not in self._known and each not in self._new]
        if missing and self._has_stored():
            found = self._merged.persons(missing)
            self._known.update((each, found.get(each, each)) for each in missing)

    def _root(self, each: str) -> str:
        while True:
            parent = self._new.get(each) or self._known.get(each) or each
            if parent == each:
                return each
            each = parent

    def _is_own(self, link: Link) -> bool:
        """Say whether only the database can tell if the other id may be linked."""
        return not link.explicit and self._root(link.previous) == link.previous

    def _note(self, mark: int, each: str, person: str) -> None:
        before = self._new.get(each)
        if before != person:
            self._journal.append((mark, each, before))
            self._new[each] = person
