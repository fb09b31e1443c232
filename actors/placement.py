"""Which host gets which object. Pure: hosts are names, and nothing is started or asked here.

A host without objects is a standby. An object gets a standby to itself while there is one, and the
host with the fewest objects otherwise; what it got it keeps until it sleeps or its host dies. So a
call never waits for a process to start, except for the very first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from raydo.pipelining.noun import Noun


class Placement:
    """Remember who lives where, and say how many hosts are missing."""

    def __init__(self, hosts_max: int, standbys: int) -> None:
        self._hosts_max = hosts_max
        self._standbys = standbys
        self._hosts: dict[str, set[Noun]] = {}
        self._where: dict[Noun, str] = {}
        self.starting = 0  # hosts under way, kept by whoever starts them

    def __len__(self) -> int:
        return len(self._hosts)

    def where(self, noun: Noun) -> str | None:
        """Return the host that has the object."""
        return self._where.get(noun)

    def objects(self, host: str) -> frozenset[Noun]:
        """List a host's objects."""
        return frozenset(self._hosts.get(host, ()))

    def place(self, noun: Noun) -> str | None:
        """Give the object a host unless it has one; None while there is no host at all."""
        if (host := self._where.get(noun)) is not None:
            return host
        if not self._hosts:
            return None
        host = min(self._hosts, key=lambda name: len(self._hosts[name]))
        self.settle(noun, host)
        return host

    def settle(self, noun: Noun, host: str) -> None:
        """Take it as given that the object lives there."""
        self._where[noun] = host
        self._hosts[host].add(noun)

    def leave(self, noun: Noun, host: str) -> None:
        """The object sleeps, and no host has it."""
        if self._where.get(noun) == host:
            del self._where[noun]
            self._hosts[host].discard(noun)

    def add(self, host: str) -> None:
        """A host is up."""
        self._hosts.setdefault(host, set())

    def lose(self, host: str) -> frozenset[Noun]:
        """A host is gone; return the objects that have none now."""
        lost = frozenset(self._hosts.pop(host, ()))
        for noun in lost:
            del self._where[noun]
        return lost

    def free(self) -> int:
        """Return how many hosts hold nothing."""
        return sum(not nouns for nouns in self._hosts.values())

    def missing(self) -> int:
        """Return how many hosts to start now, so that the next object finds a standby."""
        room = self._hosts_max - len(self._hosts) - self.starting
        return max(0, min(room, self._standbys - self.free() - self.starting))
