"""A tenant's few settings and facts, by name, in the table `_raydo_meta`."""

from __future__ import annotations

from raydo.actors.database import Database

Fact = str | int | None


class Meta:
    """Read facts, and change them with the call that does."""

    def __init__(self, database: Database) -> None:
        self._facts: dict[str, Fact] = dict(database.run("SELECT key, value FROM _raydo_meta"))
        self._journal: list[tuple[str, Fact]] = []  # names and what stood there before

    def get(self, key: str, default: Fact = None) -> Fact:
        """Return the latest value, changes of the present turn included."""
        return self._facts.get(key, default)

    def named(self, prefix: str) -> dict[str, Fact]:
        """Return the facts whose names begin so."""
        found = {key: fact for key, fact in self._facts.items() if key.startswith(prefix)}
        return {key: fact for key, fact in found.items() if fact is not None}

    def set(self, key: str, value: Fact) -> None:
        """Change a fact; the same value again changes nothing."""
        before = self._facts.get(key)
        if before != value:
            self._journal.append((key, before))
            self._facts[key] = value

    def mark(self) -> int:
        """Return where the changes of the present call begin."""
        return len(self._journal)

    def rollback(self, mark: int) -> None:
        """Take back the changes since `mark`."""
        while len(self._journal) > mark:
            key, before = self._journal.pop()
            self._facts[key] = before
            if before is None:
                del self._facts[key]

    def changes(self) -> list[tuple[str, Fact]]:
        """List the facts to write."""
        return [(key, self._facts[key]) for key in dict(self._journal)]

    def settle(self) -> None:
        """Forget the changes: they are on disk."""
        self._journal.clear()
