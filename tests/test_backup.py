"""Backups: made beside whoever writes, and what comes back is what was acknowledged, once."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.backups import ACME, back_up, forgotten, names, run, track

from raydo.actors import tenant
from raydo.actors.analytics import Analytics
from raydo.actors.backup import Backup, forget
from raydo.actors.backup_status import read_status
from raydo.actors.object import DurableObject
from raydo.actors.restore import choose, restore
from raydo.actors.vault import Vault
from raydo.actors.world import World
from raydo.pipelining.errors import DataInUse, DataUnreadable, InvalidArgument
from raydo.pipelining.method import call, cast
from raydo.pipelining.noun import Noun

DAY_MS = 86_400_000


class Sender(DurableObject):
    """Tells a `Listener` what it is told."""

    @cast
    def tell(self, to: str, word: str) -> None:
        self.stub(Listener, to).hear(word)


class Listener(DurableObject):
    """Remembers what it hears, in order."""

    def on_start(self) -> None:
        self.sql("CREATE TABLE IF NOT EXISTS words (n INTEGER PRIMARY KEY, word TEXT)")

    @cast
    def hear(self, word: str) -> None:
        self.sql("INSERT INTO words (word) VALUES (?)", word)

    @call
    def heard(self) -> list[str]:
        return [row["word"] for row in self.sql("SELECT word FROM words ORDER BY n")]


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault.open(str(tmp_path / "backups"), make=True)


def test_what_was_acknowledged_before_a_backup_comes_back_and_nothing_later(
    vault: Vault, tmp_path: Path
) -> None:
    with World(tmp_path / "a") as world:
        track(world, "A", "B")
        back_up(world, vault, 1_000)
        track(world, "C")
        back_up(world, vault, 2_000)
        track(world, "D")

    restore(vault, choose(vault, 1_999), tmp_path / "then", 5_000)
    restore(vault, choose(vault), tmp_path / "newest", 5_000)
    with World(tmp_path / "then") as then:
        assert names(then) == ["A", "B"]
        assert then.wait(then.stub(Analytics, "acme").stats())["events"] == {"A": 1, "B": 1}
    with World(tmp_path / "newest") as newest:
        assert names(newest) == ["A", "B", "C"]
        assert newest.wait(newest.stub(Analytics, "acme").dau(1))[0]["events"] == 3


def test_a_restored_tenant_knows_the_message_ids_that_it_knew(vault: Vault, tmp_path: Path) -> None:
    with World(tmp_path / "a") as world:
        track(world, "A")
        back_up(world, vault, 1_000)
    restore(vault, choose(vault), tmp_path / "b", 5_000)
    with World(tmp_path / "b") as world:
        track(world, "A", "B")
        assert names(world) == ["A", "B"]


def test_letters_of_a_restored_sender_are_not_taken_for_those_that_it_sent_before(
    vault: Vault, tmp_path: Path
) -> None:
    with World(tmp_path / "a") as world:
        sender = world.stub(Sender, "s")
        world.wait(sender.tell("l", "one"))
        world.flush()
        back_up(world, vault, 1_000)
        for word in ("two", "three"):  # after the backup, and the listener has them
            world.wait(sender.tell("l", word))
        world.flush()

    listener = Noun("Listener", "l")
    survivor = tenant.folder(tmp_path / "b", listener)
    shutil.copytree(tenant.folder(tmp_path / "a", listener), survivor)
    restore(vault, choose(vault, only=Noun("Sender", "s")), tmp_path / "b", 5_000)
    with World(tmp_path / "b") as world:
        world.wait(world.stub(Sender, "s").tell("l", "four"))
        world.flush()
        heard = world.wait(world.stub(Listener, "l").heard())
        assert heard == ["one", "two", "three", "four"]


def test_a_subscribers_cursor_from_after_the_backup_misses_nothing_that_comes(
    vault: Vault, tmp_path: Path
) -> None:
    with World(tmp_path / "a") as world:
        track(world, "A")
        back_up(world, vault, 1_000)
        track(world, "B")
        cursor = world.wait(world.stub(Analytics, "acme").changes())["cursor"]
    restore(vault, choose(vault), tmp_path / "b", 5_000)
    with World(tmp_path / "b") as world:
        track(world, "C")
        told = world.wait(world.stub(Analytics, "acme").changes(cursor))
        assert [event["event"] for event in told["events"]] == ["C"]


def test_only_what_changed_is_copied(vault: Vault, tmp_path: Path) -> None:
    with World(tmp_path / "a") as world:
        track(world, "A")
        world.wait(world.stub(Analytics, "globex").track("A"))
        assert back_up(world, vault, 1_000).changed == 2
        assert back_up(world, vault, 2_000).changed == 0
        assert vault.moments("runs") == [1_000]
        track(world, "B")
        done = back_up(world, vault, 3_000)
        assert (done.changed, done.tenants) == (1, 2)
        assert 0 < done.new_bytes <= done.bytes


def test_a_tenant_that_is_there_is_never_overwritten_and_none_is_restored(
    vault: Vault, tmp_path: Path
) -> None:
    with World(tmp_path / "a") as world:
        track(world, "A")
        world.wait(world.stub(Analytics, "globex").track("A"))
        back_up(world, vault, 1_000)
    restore(vault, choose(vault, only=ACME), tmp_path / "b", 5_000)
    with pytest.raises(DataInUse, match="already"):
        restore(vault, choose(vault), tmp_path / "b", 5_000)
    assert list(tenant.tenants(tmp_path / "b")) == [ACME]


def test_a_damaged_piece_is_refused_and_leaves_no_tenant(vault: Vault, tmp_path: Path) -> None:
    with World(tmp_path / "a") as world:
        track(world, "A")
        back_up(world, vault, 1_000)
    [point] = choose(vault)
    name = max(point.files, key=lambda file: file.size).pieces[0]
    path = tmp_path / "backups" / "blobs" / name[:2] / name
    content = bytearray(path.read_bytes())
    content[100:200] = bytes(100)
    path.write_bytes(content)
    with pytest.raises(DataUnreadable):
        restore(vault, [point], tmp_path / "b", 5_000)
    assert list(tenant.tenants(tmp_path / "b")) == []


def test_what_a_killed_process_left_in_the_log_is_in_a_backup_of_the_folder_at_rest(
    vault: Vault, tmp_path: Path
) -> None:
    with World(tmp_path / "a") as world:
        track(world, "A", "B")
        world.crash()
        shutil.copytree(world.data, tmp_path / "killed")
    assert list((tmp_path / "killed").rglob("*.seg"))
    done = Backup(tmp_path / "killed", vault).run(1_000, exact=True, log=True)
    assert not done.failed
    restore(vault, choose(vault), tmp_path / "b", 5_000)
    for _ in range(2):  # the second time after it has written and slept
        with World(tmp_path / "b") as world:
            track(world, "C")
            assert names(world) == ["A", "B", "C"]


def test_the_archive_is_in_the_backup_and_is_found_where_it_is_restored(
    vault: Vault, tmp_path: Path
) -> None:
    with World(tmp_path / "a") as world:
        track(world, "A", "B")
        acme = world.stub(Analytics, "acme")
        assert world.wait(acme.archive(0)) is not None
        deadline = time.monotonic() + 60
        while any(run["state"] != "deleted" for run in world.wait(acme.archive_runs())):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        track(world, "C")
        back_up(world, vault, 1_000)
    shutil.rmtree(tmp_path / "a")
    restore(vault, choose(vault), tmp_path / "b", 5_000)
    with World(tmp_path / "b") as world:
        assert names(world) == ["A", "B", "C"]


def test_old_moments_are_forgotten_and_the_last_before_them_stays(
    vault: Vault, tmp_path: Path
) -> None:
    with World(tmp_path / "a") as world:
        for day, name in enumerate(("A", "B", "C"), 1):
            track(world, name)
            back_up(world, vault, day * DAY_MS)
    points, pieces = forget(vault, 2 * DAY_MS + 1)
    assert points == 1
    assert pieces > 0
    assert vault.moments("runs") == [2 * DAY_MS, 3 * DAY_MS]
    with pytest.raises(InvalidArgument):
        choose(vault, DAY_MS)
    restore(vault, choose(vault, 2 * DAY_MS), tmp_path / "b", 5_000)
    with World(tmp_path / "b") as world:
        assert names(world) == ["A", "B"]


def test_backups_go_wherever_arrow_finds_a_file_system(tmp_path: Path) -> None:
    vault = Vault.open((tmp_path / "bucket").as_uri(), make=True)
    with World(tmp_path / "a") as world:
        track(world, "A")
        back_up(world, vault, 1_000)
    restore(Vault.open((tmp_path / "bucket").as_uri()), choose(vault), tmp_path / "b", 5_000)
    with World(tmp_path / "b") as world:
        assert names(world) == ["A"]


def test_a_place_that_holds_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").touch()
    with pytest.raises(InvalidArgument, match="something else"):
        Vault.open(str(tmp_path / "photos"), make=True)
    with pytest.raises(InvalidArgument, match="no backups"):
        Vault.open(str(tmp_path / "nowhere"))


def test_the_commands_back_a_folder_up_and_bring_it_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with World(tmp_path / "a") as world:
        track(world, "A")
    data, to = str(tmp_path / "a"), str(tmp_path / "kept")
    assert run("backup", "--data", data, "--to", to, "--json") == 0
    done: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert (done["changed"], done["exact"]) == (1, True)
    status = read_status(tmp_path / "a")
    assert status is not None
    assert (status.ok_ms, status.failed) == (done["at_ms"], False)
    assert run("restore", "--from", to, "--data", str(tmp_path / "b")) == 0
    assert "Analytics('acme')" in capsys.readouterr().out
    assert run("restore", "--from", to, "--data", data) == 2
    assert "already" in capsys.readouterr().err


def test_whom_a_tenant_had_forgotten_after_the_backup_does_not_come_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    vault = Vault.open(str(tmp_path / "kept"), make=True)
    with World(tmp_path / "a") as world:
        acme = world.stub(Analytics, "acme")
        for user in ("alice", "bob"):
            world.wait(acme.track("A", {"userId": user}))
        back_up(world, vault, 1_000)
        world.wait(acme.erase("alice"))
        forgotten(world)
        back_up(world, vault, 2_000)
    options = ("--from", str(tmp_path / "kept"), "--data", str(tmp_path / "b"), "--at", "1500")
    assert run("restore", *options) == 0
    assert "erased again, 1" in capsys.readouterr().out
    with World(tmp_path / "b") as world:
        rows = world.wait(world.stub(Analytics, "acme").query("SELECT user_id FROM events"))["rows"]
        assert rows == [{"user_id": "bob"}]


async def test_one_tenants_administrator_may_not_have_all_databases_drained(keyed: Any) -> None:
    key = await keyed.key("admin")
    reply: httpx.Response = await keyed.ask("POST", "/admin/drain", key, json={})
    assert reply.status_code == 403
    reply = await keyed.ask("POST", "/admin/drain", key, json={"tenant": "acme"})
    assert reply.json()["failed"] == []
