"""Who is who, as a child would work it out: every id has a label, and a merge paints all of one label."""

from __future__ import annotations


class Kin:
    """Take events in the order of receipt."""

    def __init__(self) -> None:
        self.labels: dict[str, str] = {}
        self.settled: set[str] = set()  # ids that were linked, or linked to

    def person(self, each: str) -> str:
        return self.labels.get(each, each)

    def event(
        self, user_id: str | None, anonymous_id: str | None, previous: str | None
    ) -> list[tuple[str, str]]:
        """Take one event in; list whose label was painted over, and by which."""
        joins: list[tuple[str, str]] = []
        if user_id is None:
            return joins
        if anonymous_id is not None and anonymous_id not in self.settled | {user_id}:
            joins += self._merge(anonymous_id, user_id)
        if previous is not None:
            joins += self._merge(previous, user_id)
        return joins

    def _merge(self, previous: str, user_id: str) -> list[tuple[str, str]]:
        gone, label = self.person(previous), self.person(user_id)
        if gone != label:
            self.labels[gone] = self.labels.get(gone, gone)
            self.labels = {each: label if was == gone else was for each, was in self.labels.items()}
            self.settled |= {gone, label}
            return [(gone, label)]
        return []
