"""The keys of one tenant, as its own object keeps them: hashes, in the table of its facts.

A key's text never gets here. Whoever makes one keeps it and sends its hash, so neither the database
nor a kept reply can give a key away. The facts of an object are in memory and change with the call
that changes them, so to look a key up costs no disk access, and a key that was made is known after
any crash. A server's administrator has keys of the same form, in an object of their own.

    write   sends events           read   asks            admin   does everything, makes keys too
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict

from raydo.pipelining.errors import InvalidArgument, TooLarge
from raydo.pipelining.limits import KEY_NAME_BYTES_MAX, KEYS_MAX
from raydo.pipelining.method import call

if TYPE_CHECKING:
    from raydo.actors.state import State

KeyKind = Literal["write", "read", "admin"]

KINDS: Final = ("write", "read", "admin")
HASH_CHARS: Final = 64  # of a SHA-256 in hexadecimal
ID_CHARS: Final = 12  # of the hash, by which people name a key
_FACT: Final = "key:"


class Key(TypedDict):
    """One key, as it is listed; nothing of it tells its text."""

    id: str
    kind: KeyKind
    name: str
    created_ms: int
    expires_ms: int | None
    revoked_ms: int | None


class Keys:
    """Make keys known, list them, revoke them, and tell what one of them opens."""

    def __init__(self, state: State) -> None:
        self._state = state

    @call
    def add(self, hashed: str, kind: KeyKind, name: str = "", expires_ms: int | None = None) -> Key:
        """Let a key open this tenant from now on; the same again changes nothing.

        Raises:
            InvalidArgument: no hash, kind, name or time. TooLarge: over KEYS_MAX.
        """
        _check(hashed, kind, name, expires_ms)
        fact = _FACT + hashed
        known = self._state.meta.get(fact)
        if known is not None:
            return _key(fact, str(known))
        if len(self._facts()) >= KEYS_MAX:
            self._forget_one()
        key = {"kind": kind, "name": name, "created_ms": self._state.now_ms}
        if expires_ms is not None:
            key["expires_ms"] = expires_ms
        self._state.meta.set(fact, json.dumps(key))
        return _key(fact, json.dumps(key))

    @call
    def list(self) -> list[Key]:
        """List every key, the oldest first."""
        keys = [_key(name, text) for name, text in self._facts().items()]
        return sorted(keys, key=lambda key: (key["created_ms"], key["id"]))

    @call
    def revoke(self, id: str) -> Key:  # noqa: A002  # its name in the listing
        """Let a key open nothing any more.

        Raises:
            InvalidArgument: there is no such key.
        """
        for fact, text in self._facts().items():
            if _key(fact, text)["id"] == id:
                revoked = json.dumps({"revoked_ms": self._state.now_ms, **json.loads(text)})
                self._state.meta.set(fact, revoked)  # what was revoked before stays as it is
                return _key(fact, revoked)
        raise InvalidArgument(f"There is no key {id!r:.40} here.")

    @call
    def find(self, hashed: str) -> Key | None:
        """Give the key of this hash if it opens something now."""
        fact = self._state.meta.get(_FACT + str(hashed))
        if fact is None:
            return None
        key = _key(_FACT + hashed, str(fact))
        return key if self._opens(key) else None

    def _opens(self, key: Key) -> bool:
        expires_ms = key["expires_ms"]
        in_time = expires_ms is None or self._state.now_ms < expires_ms
        return in_time and key["revoked_ms"] is None

    def _facts(self) -> dict[str, str]:
        return {name: str(value) for name, value in self._state.meta.named(_FACT).items()}

    def _forget_one(self) -> None:
        """Make room: forget the oldest key that opens nothing any more.

        Raises:
            TooLarge: all of them still do.
        """
        keys = {name: _key(name, text) for name, text in self._facts().items()}
        spent = [name for name, key in keys.items() if not self._opens(key)]
        if not spent:
            raise TooLarge(f"A tenant has at most {KEYS_MAX:,} keys; revoke some.")
        self._state.meta.set(min(spent, key=lambda name: keys[name]["created_ms"]), None)


def _key(fact: str, text: str) -> Key:
    kept: dict[str, Any] = json.loads(text)
    return {
        "id": fact.removeprefix(_FACT)[:ID_CHARS],
        "kind": kept["kind"],
        "name": kept["name"],
        "created_ms": kept["created_ms"],
        "expires_ms": kept.get("expires_ms"),
        "revoked_ms": kept.get("revoked_ms"),
    }


def _check(hashed: object, kind: object, name: object, expires_ms: object) -> None:
    hexadecimal = isinstance(hashed, str) and set(hashed) <= set("0123456789abcdef")
    if not hexadecimal or len(str(hashed)) != HASH_CHARS:
        raise InvalidArgument("A key is made known by its SHA-256 in hexadecimal.")
    if kind not in KINDS:
        raise InvalidArgument(f"A key is of kind {', '.join(KINDS)}, not {kind!r:.40}.")
    if not isinstance(name, str) or len(name.encode("utf-8", "replace")) > KEY_NAME_BYTES_MAX:
        raise InvalidArgument(f"A key's name is text of at most {KEY_NAME_BYTES_MAX} bytes.")
    if expires_ms is not None and (not isinstance(expires_ms, int) or isinstance(expires_ms, bool)):
        raise InvalidArgument("A key expires at a time in whole milliseconds since 1970.")
