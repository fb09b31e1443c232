"""User agents of bots are known by a list that others keep."""

from __future__ import annotations

import pytest

from raydo.actors import bots
from raydo.actors.bots import is_bot
from raydo.pipelining.limits import AGENT_CHARS_MAX, AGENTS_CACHED_MAX

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0"
IPHONE = """Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15
    (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1"""
GOOGLEBOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"


@pytest.mark.parametrize(
    "agent", [GOOGLEBOT, "GPTBot/1.0", "curl/8.11.1", f"{FIREFOX} HeadlessChrome/120.0", "bingbot"]
)
def test_crawlers_scripts_and_headless_browsers_are_bots(agent: str) -> None:
    assert is_bot(agent)


@pytest.mark.parametrize(
    "agent", [FIREFOX, IPHONE, "", "analytics-python/2.3.4", None, 5, [GOOGLEBOT]]
)
def test_whatever_else_is_none(agent: object) -> None:
    assert not is_bot(agent)


def test_an_agent_without_an_end_is_looked_at_no_further_than_a_bound() -> None:
    assert not is_bot("x" * AGENT_CHARS_MAX + GOOGLEBOT)


def test_an_agent_is_looked_up_once_and_memory_is_bounded() -> None:
    bots._listed.cache_clear()
    for _ in range(3):
        is_bot(FIREFOX)
    known = bots._listed.cache_info()
    assert (known.misses, known.hits, known.maxsize) == (1, 2, AGENTS_CACHED_MAX)
