"""The short form of `make crash`: a gateway and its tenants' hosts, killed while clients send.

The gateway joins the Ray that all these tests share, so its kill leaves the hosts; `make crash`
starts the server alone, and its kill takes Ray along.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from crash.ledger import shown
from crash.loop import ALL, GATEWAY, HOST, TWICE, UNDER_WAY_SHARE_MIN, Loop, crash
from crash.server import PROC, Server
from support.place import fresh

from raydo.actors.settings import Settings

pytestmark = [pytest.mark.ray, pytest.mark.slow]


async def test_what_is_acknowledged_counts_once_whatever_is_killed(
    ray_settings: Settings, tmp_path: Path
) -> None:
    if not PROC.exists():
        pytest.skip("no /proc on this system")
    zones = {fresh("acme"): "UTC", fresh("globex/eu"): "Asia/Kathmandu"}
    loop = Loop(Server(ray_settings.data, tmp_path), zones, seed=7, say=print)

    await crash(loop, [HOST, GATEWAY, TWICE, ALL])

    assert shown(loop.differences) == []
    assert [kill.what for kill in loop.kills] == [HOST, GATEWAY, *[HOST] * 4]
    assert loop.under_way_share >= UNDER_WAY_SHARE_MIN
