from __future__ import annotations

import pytest

from raydo.pipelining.errors import NotConnected
from raydo.pipelining.loopback import Loopback
from raydo.pipelining.noun import Noun

SHOP = Noun("Shop", "acme")


async def echo(noun: Noun, envelope: bytes) -> bytes:
    assert noun == SHOP
    return envelope[::-1]


async def test_it_delivers_counts_and_closes() -> None:
    loopback = Loopback(echo)

    assert await loopback.send(SHOP, b"abc") == b"cba"
    assert loopback.envelopes == 1

    await loopback.close()
    with pytest.raises(NotConnected):
        await loopback.send(SHOP, b"abc")
