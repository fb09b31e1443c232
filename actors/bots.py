"""Whether a user agent is a bot's, by the list that `crawler-user-agents` keeps.

A look at an agent takes a quarter of a millisecond and is remembered: a site sees few of them.
"""

from __future__ import annotations

from functools import lru_cache

from raydo.pipelining.limits import AGENT_CHARS_MAX, AGENTS_CACHED_MAX


def is_bot(agent: object) -> bool:
    """Say whether a user agent is a crawler's, a script's or a headless browser's."""
    return isinstance(agent, str) and _listed(agent[:AGENT_CHARS_MAX])


@lru_cache(AGENTS_CACHED_MAX)
def _listed(agent: str) -> bool:
    from crawleruseragents import is_crawler

    found: bool = is_crawler(agent)
    return found
