from __future__ import annotations

import csv
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

import raydo
from raydo.gateway.command import main
from raydo.gateway.serve import bind
from raydo.gateway.target import target, wait_until_ready
from raydo.pipelining.errors import ConnectionLost, Forbidden, InvalidArgument

EVENTS = """\
org,event,user_id,timestamp,message_id,page
acme/eu,PageView,u1,2026-01-02T03:04:05Z,m1,/
acme/eu,PageView,u2,2026-01-02T03:04:05Z,m2,/
other,SignUp,u3,2026-01-02T03:04:05Z,m1,
"""


def _run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    code = caught.value.code
    assert isinstance(code, int)
    return code


@pytest.fixture
def events(tmp_path: Path) -> Path:
    path = tmp_path / "events.csv"
    path.write_text(EVENTS)
    return path


def test_help_names_every_command_and_each_option_its_variable(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert _run("--help") == 0
    listed = capsys.readouterr().out
    for command in ("serve", "import", "query", "tenants", "stats", "retention", "demo"):
        assert f"\n  {command} " in listed
        assert _run(command, "--help") == 0
    assert _run("serve", "-h") == 0
    text = " ".join(capsys.readouterr().out.split())
    names = "HOST PORT DATA EMBEDDED MAX_ACTORS IDLE_SECONDS OBJECTS RAY DOMAIN KEYS"
    for name in names.split():
        assert f"RAYDO_{name}" in text
    assert _run("--version") == 0
    assert re.fullmatch(r"raydo \d.*\n", capsys.readouterr().out)


def test_a_folder_is_filled_asked_and_listed(
    events: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ("--data", str(tmp_path / "data"))
    load = ("import", str(events), "--tenant-column", "org", *data)
    assert _run(*load) == 0
    assert "acme/eu" in capsys.readouterr().out
    assert _run(*load) == 0
    report = [cell.strip() for cell in re.split("[│┃\n]", capsys.readouterr().out)]
    assert report[report.index("all") + 1 :][:3] == ["0", "3", "0"]

    sql = "SELECT event, count(*) AS n FROM events GROUP BY 1"
    assert _run("query", sql, "-t", "acme/eu", "--json", *data) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == [{"event": "PageView", "n": 2}]
    assert _run("query", sql, "-t", "other", "--csv", *data) == 0
    assert list(csv.reader(io.StringIO(capsys.readouterr().out))) == [
        ["event", "n"],
        ["SignUp", "1"],
    ]
    assert _run("query", sql, "-t", "other", *data) == 0
    assert "SignUp" in capsys.readouterr().out

    assert _run("tenants", "--json", *data) == 0
    assert [one["tenant"] for one in json.loads(capsys.readouterr().out)] == ["acme/eu", "other"]
    assert _run("tenants", *data) == 0
    listed = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [row[:3] for row in listed] == [
        ["Analytics", "acme/eu", "asleep"],
        ["Analytics", "other", "asleep"],
    ]


def test_rejected_events_give_exit_code_1_and_their_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "events.ndjson"
    path.write_text('{"event":"a"}\n{"event":""}\n{"evnt":"a"}\n')
    assert _run("import", str(path), "--tenant", "t", "--data", str(tmp_path / "data")) == 1
    reasons = capsys.readouterr().err
    assert "line 2 (t):" in reasons
    assert "line 3 (t):" in reasons


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["serve", "--host", "0.0.0.0", "--port", "0"], "only this machine"),
        (["serve", "--host", "no such host"], "no address"),
        (["import", "gone.csv", "--tenant", "t", "--data", "d"], "gone.csv"),
        (["import", "gone.csv", "--data", "d"], "--tenant-column"),
        (["import", "gone.csv", "-t", "t", "--map", "event"], "FIELD=COLUMN"),
        (["query", "SELECT 1", "--json", "--csv"], "not both"),
        (["query", "SELECT 1", "--url", "http://x", "--data", "d"], "not both"),
        (["query", "SELEC 1", "--data", "d"], "query_error"),
        (["tenants", "--url", "http://127.0.0.1:9"], "raydo serve"),
        (["tenants", "--url", "nonsense"], "nonsense"),
    ],
)
def test_what_goes_wrong_is_one_sentence_with_its_code_and_exit_code_2(
    arguments: list[str],
    part: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert _run(*arguments) == 2
    captured = capsys.readouterr()
    assert part in captured.err
    assert re.search(r"^raydo: .+ \([a-z_]+\)$", captured.err.strip().splitlines()[-1])
    assert "Traceback" not in captured.err


def test_a_command_works_on_a_gateway_or_a_folder() -> None:
    assert str(target(None, None)) == "http://127.0.0.1:8000"
    assert str(target("http://example.com:1/", None)) == "http://example.com:1"
    assert str(target(None, Path("d"))) == "d"
    with pytest.raises(InvalidArgument):
        target("http://x", Path("d"))


def test_a_folder_on_the_command_line_stands_above_a_gateway_in_the_environment(
    tmp_path: Path, events: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAYDO_URL", "http://127.0.0.1:9")
    data = ("--data", str(tmp_path / "data"))
    assert _run("import", str(events), "-t", "acme", *data) == 0
    assert _run("stats", *data) == 0
    assert _run("stats", *data, "--url", "http://127.0.0.1:9") == 2


def test_only_this_machine_may_be_listened_on_and_a_taken_port_is_named() -> None:
    with bind("localhost", 0) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(InvalidArgument, match=f"127.0.0.1:{port} "):
            bind("127.0.0.1", port)
    for host in ("0.0.0.0", "::"):
        with pytest.raises(Forbidden):
            bind(host, 0)


ENDS_WITHIN_S = 120.0  # a machine that is busy with other tests takes long to start a process


class Server:
    """`raydo serve --embedded` as a process of its own."""

    def __init__(self, data: Path, *options: str) -> None:
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        command = [str(Path(sys.executable).with_name("raydo")), "serve", "--embedded"]
        self.process = subprocess.Popen(
            [*command, "--port", str(self.port), "--data", str(data), *options],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "COLUMNS": "200"},
            cwd=data.parent,
        )

    def wait_until_ready(self) -> None:
        while self.process.poll() is None:
            try:
                return wait_until_ready(self.url)
            except ConnectionLost:
                time.sleep(0.1)  # another process is starting; there is no clock of ours in it
        raise AssertionError(self.process.communicate()[1])

    def stop(self, number: int = signal.SIGINT) -> tuple[int, str]:
        self.process.send_signal(number)
        return self.ended()

    def ended(self) -> tuple[int, str]:
        """Wait for the process's end, and return its exit code and what it said."""
        _, said = self.process.communicate(timeout=ENDS_WITHIN_S)
        return self.process.returncode, said

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with closing(Server(tmp_path / "data")) as running:
        running.wait_until_ready()
        yield running


def _track(server: Server, **event: Any) -> None:
    response = httpx.post(f"{server.url}/track", content=json.dumps(event).encode())
    assert response.status_code == 200


def test_a_served_folder_takes_an_import_answers_and_stops_cleanly(
    server: Server, events: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _track(server, event="PageView", userId="u")
    url = ("--url", server.url)
    assert _run("import", str(events), "--tenant-column", "org", *url) == 0
    capsys.readouterr()
    assert _run("query", "SELECT count(*) AS n FROM events", "-t", "acme/eu", "--json", *url) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == [{"n": 2}]
    assert _run("tenants", "--json", *url) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [one["tenant"] for one in listed] == ["acme/eu", "default", "other"]

    code, said = server.stop()
    assert code == 0
    assert "raydo is ready" in said
    assert f"{server.url}/docs" in said
    assert "Traceback" not in said


def test_a_second_server_on_the_same_folder_is_refused_with_the_first_ones_pid(
    server: Server, tmp_path: Path
) -> None:
    with closing(Server(tmp_path / "data")) as second:
        code, said = second.ended()
    assert code == 2
    assert f"process {server.process.pid}" in said
    assert "(data_in_use)" in said
    assert "Traceback" not in said


def test_what_was_acknowledged_before_a_kill_is_there_after_it(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(20):
        _track(server, event="a", messageId=f"m{number}")
    server.stop(signal.SIGKILL)

    assert (
        _run(
            "query", "SELECT count(*) AS n FROM events", "--json", "--data", str(tmp_path / "data")
        )
        == 0
    )
    assert json.loads(capsys.readouterr().out)["rows"] == [{"n": 20}]


@pytest.mark.slow
def test_objects_are_found_in_the_folder_that_the_server_was_started_in(tmp_path: Path) -> None:
    (tmp_path / "greeters.py").write_text(
        "from raydo import DurableObject, call\n"
        "class Greeter(DurableObject):\n"
        "    @call\n"
        "    def greet(self) -> str:\n"
        "        return f'hello from {self.tenant}'\n"
    )
    with closing(Server(tmp_path / "data", "--objects", "greeters")) as server:
        server.wait_until_ready()
        with raydo.connect(server.url) as connection:
            said = raydo.wait(connection.Greeter("acme").greet(), timeout_s=ENDS_WITHIN_S)

    assert said == "hello from acme"


def test_a_server_with_keys_makes_its_first_one_and_takes_no_caller_without(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(Server(tmp_path / "data", "--keys")) as server:
        server.wait_until_ready()
        file = tmp_path / "data" / ".raydo" / "admin-key"
        assert file.stat().st_mode & 0o077 == 0
        url = ("--url", server.url)
        admin = ("--key", file.read_text().strip(), *url)
        assert _run("tenants", *url) == 2
        assert _run("keys", "create", "--kind", "write", "-t", "acme", *admin) == 0
        write = capsys.readouterr().out.strip()
        for key, status in ((write, 200), (write[:-1], 401)):
            sent = httpx.post(
                f"{server.url}/track",
                json={"event": "A"},
                headers={"authorization": f"Bearer {key}"},
            )
            assert sent.status_code == status
        assert _run("query", "SELECT event FROM events", "-t", "acme", "--json", *admin) == 0
        assert json.loads(capsys.readouterr().out)["rows"] == [{"event": "A"}]
        assert _run("keys", "list", "-t", "acme", "--json", *admin) == 0
        [listed] = json.loads(capsys.readouterr().out)
        assert _run("keys", "revoke", listed["id"], "-t", "acme", *admin) == 0
        assert _run("keys", "list", "-t", "acme", *admin) == 0
        assert "revoked" in capsys.readouterr().out
        server.stop()

    folder = ("--data", str(tmp_path / "data"))
    assert _run("keys", "list", "--server", "--json", *folder) == 0
    assert [one["kind"] for one in json.loads(capsys.readouterr().out)] == ["admin"]
    assert _run("keys", "create", "--kind", "read", "-t", "acme", *folder) == 0
    assert capsys.readouterr().out.startswith("raydo_read_YWNtZQ_")
