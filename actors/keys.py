"""The keys of one tenant, as its own object keeps them: hashes, in the table of its facts.

A key's text never gets here. Whoever makes one keeps it and sends its hash, so neither the database
nor a kept reply can give a key away. The facts of an object are in memory and change with the call
that changes them, so to look a key up costs no disk access, and a key that was made is known after
any crash. A server's administrator has keys of the same form, in an object of their own.

    write    sends events          read      asks
    browser  sends events, from pages of stated origins
    admin    does everything, makes keys too
    service  the server's: acts for the tenants of a pattern, as far as its scopes go
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict

from raydo.actors.preferences import check_origins
from raydo.pipelining.errors import InvalidArgument, TooLarge
from raydo.pipelining.limits import KEY_NAME_BYTES_MAX, KEY_PATTERN_CHARS_MAX, KEYS_MAX
from raydo.pipelining.method import Needs, call

if TYPE_CHECKING:
    from raydo.actors.state import State

KeyKind = Literal["write", "read", "admin", "browser", "service"]

TENANT_KINDS: Final = ("write", "read", "admin", "browser")
KINDS: Final = (*TENANT_KINDS, "service")
SCOPES: Final[Mapping[str, Needs]] = {"ingest": "write", "read": "read", "erase": "erase"}
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
    tenants: str | None  # of a service key: a pattern, in which * stands for anything
    scopes: list[str] | None
    origins: list[str] | None  # of a browser key


class Keys:
    """Make keys known, list them, revoke them, and tell what one of them opens."""

    def __init__(self, state: State) -> None:
        self._state = state

    @call
    def add(
        self,
        hashed: str,
        kind: KeyKind,
        name: str = "",
        expires_ms: int | None = None,
        bounds: Mapping[str, Any] | None = None,
    ) -> Key:
        """Let a key open this tenant from now on; the same again changes nothing.

        `bounds` are a service key's `tenants` and `scopes`, or a browser key's `origins`.

        Raises:
            InvalidArgument: no hash, kind, name, time or bounds. TooLarge: over KEYS_MAX.
        """
        _check(hashed, kind, name, expires_ms)
        bounded = _bounds(kind, dict(bounds or {}))
        fact = _FACT + hashed
        known = self._state.meta.get(fact)
        if known is not None:
            return _key(fact, str(known))
        if len(self._facts()) >= KEYS_MAX:
            self._forget_one()
        key = {"kind": kind, "name": name, "created_ms": self._state.now_ms, **bounded}
        if expires_ms is not None:
            key["expires_ms"] = expires_ms
        self._state.meta.set(fact, json.dumps(key))
        made = _key(fact, json.dumps(key))
        self._state.audit.note(
            "key_made", {"id": made["id"], "kind": kind, "name": name, **bounded}
        )
        return made

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
                if revoked != text:
                    self._state.audit.note(
                        "key_revoked", {"id": id, "kind": _key(fact, text)["kind"]}
                    )
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
        "tenants": kept.get("tenants"),
        "scopes": kept.get("scopes"),
        "origins": kept.get("origins"),
    }


def matches(pattern: str, tenant: str) -> bool:
    """Tell whether a tenant is among those that a pattern means."""
    return _compiled(pattern).fullmatch(tenant) is not None


@lru_cache(maxsize=1_024)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, pattern.split("*"))), re.DOTALL)


def _bounds(kind: str, given: dict[str, Any]) -> dict[str, Any]:
    """Check what bounds a key of a kind.

    Raises:
        InvalidArgument: something is missing, too much or wrong.
    """
    names = {"service": {"tenants", "scopes"}, "browser": {"origins"}}.get(kind, set())
    given = {name: value for name, value in given.items() if value is not None}
    if set(given) != names:
        wanted = " and ".join(sorted(names)) or "nothing"
        raise InvalidArgument(f"A key of kind {kind} is bounded by {wanted}.")
    if kind == "browser":
        if not given["origins"]:
            raise InvalidArgument("A browser key is for at least one origin.")
        return {"origins": check_origins("origins", given["origins"])}
    if kind == "service":
        return {"tenants": _pattern(given["tenants"]), "scopes": _scopes(given["scopes"])}
    return {}


def _pattern(value: object) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= KEY_PATTERN_CHARS_MAX:
        raise InvalidArgument("tenants is a pattern such as acme-*, in which * is anything.")
    return value


def _scopes(value: object) -> list[str]:
    if not isinstance(value, Sequence) or not value or not set(value) <= set(SCOPES):
        raise InvalidArgument(f"scopes is a list of {', '.join(SCOPES)}, not {value!r:.80}.")
    return [scope for scope in SCOPES if scope in value]


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
