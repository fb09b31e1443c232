"""Backups of folders in which something is wrong or goes on: nothing acknowledged is left out."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support.backups import ACME, back_up, forgotten, names, run, track
from test_archive import settled

from raydo.actors import tenant
from raydo.actors.analytics import Analytics
from raydo.actors.backup import Backup
from raydo.actors.restore import choose, restore
from raydo.actors.vault import Vault
from raydo.actors.world import World


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault.open(str(tmp_path / "backups"), make=True)


def test_what_came_into_the_log_after_the_last_backup_is_in_that_of_the_folder_at_rest(
    vault: Vault, tmp_path: Path
) -> None:
    with World(tmp_path / "a") as world:
        track(world, "A")
        back_up(world, vault, 1_000)
        track(world, "B")
        back_up(world, vault, 2_000)
        home = tenant.folder(world.data, ACME)
        before = {path.name: path.stat().st_mtime_ns for path in home.glob("tenant.db*")}
        track(world, "C")
        shutil.copytree(world.data, tmp_path / "killed", copy_function=shutil.copy2)
    assert before == {
        path.name: path.stat().st_mtime_ns
        for path in tenant.folder(tmp_path / "killed", ACME).glob("tenant.db*")
    }, "the event is to be in the log only"
    Backup(tmp_path / "killed", vault).run(3_000, exact=True, log=True)
    restore(vault, choose(vault), tmp_path / "b", 5_000)
    with World(tmp_path / "b") as world:
        assert names(world) == ["A", "B", "C"]


def test_one_damaged_tenant_costs_no_other_its_backup(vault: Vault, tmp_path: Path) -> None:
    with World(tmp_path / "a") as world:
        track(world, "A")
        world.wait(world.stub(Analytics, "zeta").track("Z", {"userId": "u"}))
    damaged = tenant.folder(tmp_path / "a", ACME) / "tenant.db"
    damaged.write_bytes(b"\x00" * damaged.stat().st_size)

    done = Backup(tmp_path / "a", vault).run(1_000, exact=True, log=True)

    assert list(done.failed) == ["Analytics('acme')"]
    assert [point.tenant for point in choose(vault)] == ["zeta"]


@pytest.mark.slow
def test_a_folder_may_be_named_from_where_one_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with World(tmp_path / "data") as world:
        track(world, "A", "B")
        assert world.wait(world.stub(Analytics, "acme").archive(0)) is not None
        settled(world)
    monkeypatch.chdir(tmp_path)
    assert run("backup", "--to", "kept") == 0
    assert run("restore", "--from", "kept", "--data", "again") == 0
    assert run("verify", "--data", "again") == 0
    with World(tmp_path / "again") as world:
        assert names(world) == ["A", "B"]


@pytest.mark.slow
def test_whom_a_tenant_had_forgotten_stays_forgotten_in_the_archive_too(tmp_path: Path) -> None:
    vault = Vault.open(str(tmp_path / "kept"), make=True)
    with World(tmp_path / "a") as world:
        acme = world.stub(Analytics, "acme")
        for user in ("alice", "bob"):
            world.wait(acme.track("A", {"userId": user}))
        assert world.wait(acme.archive(0)) is not None
        settled(world)
        back_up(world, vault, 1_000)
        world.wait(acme.erase("alice"))
        forgotten(world)
        back_up(world, vault, 2_000)
    options = ("--from", str(tmp_path / "kept"), "--data", str(tmp_path / "b"), "--at", "1500")
    assert run("restore", *options) == 0
    with World(tmp_path / "b") as world:
        rows = world.wait(world.stub(Analytics, "acme").query("SELECT user_id FROM events"))["rows"]
        assert rows == [{"user_id": "bob"}]
    for path in (tmp_path / "b").rglob("*"):
        assert not path.is_file() or b"alice" not in path.read_bytes(), path


def test_nothing_later_than_the_moment_comes_back_though_a_backup_took_its_time(
    vault: Vault, tmp_path: Path
) -> None:
    with World(tmp_path / "a") as world:
        track(world, "A")
        back_up(world, vault, 1_000)
        track(world, "B")
        assert world._in_loop(world.residents.drain_now()) == []
        Backup(world.data, vault, lambda: 2_500).run(2_000, exact=True)
    for only in (None, ACME):
        assert [point.at_ms for point in choose(vault, 2_499, only)] == [1_000]
        assert [point.at_ms for point in choose(vault, 2_500, only)] == [2_000]


def test_two_processes_never_write_into_one_place(
    vault: Vault, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with World(tmp_path / "a") as world:
        track(world, "A")
    command = ("backup", "--to", str(tmp_path / "backups"), "--data", str(tmp_path / "a"))
    with vault.held():
        assert run(*command) == 2
    assert "Another `raydo backup` writes" in capsys.readouterr().err
    assert run(*command) == 0
