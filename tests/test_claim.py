"""One data folder, one who writes."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from raydo.actors.claim import FOLDER, Claim, Server, server_of, token_path
from raydo.pipelining.errors import DataInUse

HOLD = """
import sys
from pathlib import Path
from raydo.actors.claim import Claim
claim = Claim.alone(Path(sys.argv[1]), sys.argv[2])
if sys.argv[2] == "ray":
    claim.publish("ray", "127.0.0.1:6379")
    claim.share()
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def held_elsewhere(data: Path, mode: str) -> Iterator[subprocess.Popen[str]]:
    """Let another process hold the folder."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(data), mode],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_folder_held_by_another_process_is_refused_with_its_pid_and_the_cure(
    tmp_path: Path,
) -> None:
    with (
        held_elsewhere(tmp_path, "embedded") as process,
        pytest.raises(DataInUse, match=rf"process {process.pid} \(embedded\): end that process"),
    ):
        Claim.alone(tmp_path, "embedded")


def test_a_folder_held_in_this_process_says_so(tmp_path: Path) -> None:
    claim = Claim.alone(tmp_path, "embedded")

    with pytest.raises(DataInUse, match="already open in this process"):
        Claim.alone(tmp_path, "embedded")

    claim.release()
    claim.release()
    Claim.alone(tmp_path, "embedded").release()


def test_a_folder_served_by_ray_is_shared_with_its_hosts_and_refused_to_embedded(
    tmp_path: Path,
) -> None:
    with held_elsewhere(tmp_path, "ray") as process:
        first, second = Claim.shared(tmp_path), Claim.shared(tmp_path)

        with pytest.raises(DataInUse, match=rf"{process.pid} \(ray, Ray at 127.0.0.1:6379\): join"):
            Claim.alone(tmp_path, "embedded")
        first.release()
        second.release()


def test_a_host_that_outlives_its_ray_still_keeps_the_folder(tmp_path: Path) -> None:
    host = Claim.shared(tmp_path)

    with pytest.raises(DataInUse):
        Claim.alone(tmp_path, "embedded")
    host.release()


def test_embedded_keeps_hosts_out(tmp_path: Path) -> None:
    claim = Claim.alone(tmp_path, "embedded")

    with pytest.raises(DataInUse):
        Claim.shared(tmp_path)
    claim.release()


def test_a_killed_process_leaves_no_lock_behind(tmp_path: Path) -> None:
    with held_elsewhere(tmp_path, "embedded") as process:
        process.kill()
        process.wait()

        Claim.alone(tmp_path, "embedded").release()


def test_whoever_holds_the_folder_is_named_beside_the_lock(tmp_path: Path) -> None:
    claim = Claim.alone(tmp_path, "starting")
    assert server_of(tmp_path) == Server(os.getpid(), "starting", None)

    claim.publish("ray", "127.0.0.1:1")

    assert server_of(tmp_path) == Server(os.getpid(), "ray", "127.0.0.1:1")
    claim.release()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}', '{"pid": 1, "odd": 2}'])
def test_an_unreadable_server_file_names_nobody(tmp_path: Path, text: str) -> None:
    claim = Claim.alone(tmp_path, "embedded")
    (tmp_path / FOLDER / "server.json").write_text(text)

    assert server_of(tmp_path) is None
    with pytest.raises(DataInUse, match="another process"):
        Claim.alone(tmp_path, "embedded")
    claim.release()


def test_a_server_file_of_a_later_version_still_names_the_process(tmp_path: Path) -> None:
    claim = Claim.alone(tmp_path, "embedded")
    later = {"pid": 1, "mode": "later", "address": None}
    (tmp_path / FOLDER / "server.json").write_text(json.dumps(later))

    with pytest.raises(DataInUse, match="process 1"):
        Claim.alone(tmp_path, "embedded")
    claim.release()


def test_the_token_is_made_once_and_only_this_user_may_read_it(tmp_path: Path) -> None:
    claim = Claim.alone(tmp_path, "starting")

    path = token_path(tmp_path)

    assert len(path.read_text()) == 64
    assert path.read_text() == token_path(tmp_path).read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    claim.release()


def test_a_forked_child_does_not_hold_its_parents_folder(tmp_path: Path) -> None:
    claim = Claim.alone(tmp_path, "embedded")
    read, write = os.pipe()
    told, ready = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(write)
        os.write(ready, b".")  # what a fork closes is closed by now
        os.read(read, 1)  # lives until the parent has looked
        os._exit(0)

    os.read(told, 1)
    claim.release()

    Claim.alone(tmp_path, "embedded").release()
    os.close(read)
    os.close(write)
    assert os.waitpid(child, 0) == (child, 0)
