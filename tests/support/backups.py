"""Backups of a served folder, as the command makes them, and what tests of them ask."""

from __future__ import annotations

import time
from typing import Final

import pytest

from raydo.actors.analytics import Analytics
from raydo.actors.backup import Backed, Backup
from raydo.actors.vault import Vault
from raydo.actors.world import World
from raydo.gateway.command import main
from raydo.pipelining.noun import Noun

ACME: Final = Noun("Analytics", "acme")


def track(world: World, *names: str) -> None:
    for name in names:
        world.wait(
            world.stub(Analytics, "acme").track(name, {"userId": "u"}, messageId=f"m-{name}")
        )


def back_up(world: World, vault: Vault, at_ms: int) -> Backed:
    """Back a folder up that is served, as the command does."""
    assert world._in_loop(world.residents.drain_now()) == []
    done = Backup(world.data, vault).run(at_ms, exact=True)
    assert not done.failed
    return done


def names(world: World) -> list[str]:
    sql = "SELECT event FROM events ORDER BY seq"
    return [row["event"] for row in world.wait(world.stub(Analytics, "acme").query(sql))["rows"]]


def forgotten(world: World) -> None:
    """Wait until the erasures planned so far are done."""
    deadline = time.monotonic() + 60
    acme = world.stub(Analytics, "acme")
    while any(each["state"] != "done" for each in world.wait(acme.erasures())):
        assert time.monotonic() < deadline
        time.sleep(0.05)  # other threads work


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    code = caught.value.code
    assert isinstance(code, int)
    return code
