"""What a confined process can still do, tried in processes of their own."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

_PRELUDE = """
import os, sys, socket, threading
from pathlib import Path
from raydo.actors import confinement
folder = Path(sys.argv[1])

def tried(what):
    try:
        what()
    except OSError as error:
        return type(error).__name__
    return "done"
"""


def run(folder: Path, script: str) -> list[str]:
    """Run a script and return the words that it prints."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", _PRELUDE + textwrap.dedent(script), str(folder)],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert not done.stderr, done.stderr
    return [*done.stdout.split(), f"code={done.returncode}"]


@pytest.fixture(scope="module")
def kernel_helps(tmp_path_factory: pytest.TempPathFactory) -> bool:
    folder = tmp_path_factory.mktemp("kernel")
    return run(folder, "print(confinement.confine_process(folder, network=False))")[0] == "True"


def test_a_process_writes_below_its_folder_alone_and_starts_nothing(
    tmp_path: Path, kernel_helps: bool
) -> None:
    if not kernel_helps:
        pytest.skip("this kernel has no Landlock")
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    (outside / "there").write_text("kept")

    words = run(
        inside,
        """
        confinement.confine_process(folder, network=False)
        outside = folder.parent / "outside"
        print(tried(lambda: (folder / "new").write_text("x")))
        print(tried(lambda: (folder / "new").unlink()))
        print(tried(lambda: (outside / "there").read_text()))
        print(tried(lambda: (outside / "there").write_text("x")))
        print(tried(lambda: (outside / "new").write_text("x")))
        print(tried(lambda: (outside / "there").unlink()))
        print(tried(lambda: os.mkdir(folder / "new")))
        print(tried(lambda: os.posix_spawn("/bin/true", ["true"], {})))
        print(tried(lambda: socket.create_connection(("127.0.0.1", 9), 1)))
        print(tried(lambda: os.kill(os.getppid(), 0)))
        """,
    )

    assert words[:3] == ["done", "done", "done"]
    assert set(words[3:10]) <= {"PermissionError", "ConnectionRefusedError"}
    assert words[3:8] == ["PermissionError"] * 5
    assert (outside / "there").read_text() == "kept"


def test_a_confined_thread_and_what_it_starts_write_nowhere(
    tmp_path: Path, kernel_helps: bool
) -> None:
    if not kernel_helps:
        pytest.skip("this kernel has no Landlock")
    words = run(
        tmp_path,
        """
        confinement.confine_process(folder, network=False)
        def in_thread():
            confinement.confine_thread()
            print(tried(lambda: (folder / "new").write_text("x")))
            inner = threading.Thread(target=lambda: print(tried(lambda: (folder / "b").write_text("x"))))
            inner.start(); inner.join()
        thread = threading.Thread(target=in_thread)
        thread.start(); thread.join()
        print(tried(lambda: (folder / "main").write_text("x")))
        """,
    )
    assert words[:3] == ["PermissionError", "PermissionError", "done"]


def test_even_an_unchecked_copy_cannot_overwrite_the_file_that_it_may_read(
    tmp_path: Path, kernel_helps: bool
) -> None:
    if not kernel_helps:
        pytest.skip("this kernel has no Landlock")
    words = run(
        tmp_path,
        """
        import duckdb
        path = folder / "events.parquet"
        duckdb.sql(f"COPY (SELECT 1 AS a) TO '{path}'")
        before = path.read_bytes()
        confinement.confine_process(folder, network=False)
        def in_thread():
            confinement.confine_thread()
            engine = duckdb.connect()
            engine.execute(f"SET allowed_paths = ['{path}']")
            engine.execute("SET enable_external_access = false")
            print(engine.execute(f"SELECT a FROM read_parquet('{path}')").fetchall()[0][0])
            for option in ("true", "false"):
                try:
                    engine.execute(f"COPY (SELECT 2 AS a) TO '{path}' (USE_TMP_FILE {option})")
                except duckdb.Error:
                    print("refused")
        thread = threading.Thread(target=in_thread)
        thread.start(); thread.join()
        print(path.read_bytes() == before)
        """,
    )
    assert words[:4] == ["1", "refused", "refused", "True"]


def test_memory_is_limited_from_where_it_stands(tmp_path: Path) -> None:
    if not Path("/proc/self/status").exists():
        pytest.skip("this system does not tell how much memory a process has")
    words = run(
        tmp_path,
        """
        confinement.QUERY_MEMORY_BYTES = 64 * 2**20
        kept = bytearray(128 * 2**20)
        confinement.limit_memory()
        fits = bytearray(32 * 2**20)
        try:
            too_much = bytearray(96 * 2**20)
        except MemoryError:
            print("refused")
        """,
    )
    assert words == ["refused", "code=0"]


def test_the_kernel_ends_a_process_that_is_over_its_time(tmp_path: Path) -> None:
    words = run(
        tmp_path,
        """
        confinement.QUERY_GRACE_S = confinement.QUERY_SPARE_S = 0.05
        confinement.limit_time(5)
        confinement.limit_time(0.1)
        print("began", flush=True)
        while True:
            pass
        """,
    )
    assert words == ["began", "code=-14"]


def test_a_process_within_its_time_is_left_alone(tmp_path: Path) -> None:
    words = run(
        tmp_path,
        """
        import signal
        confinement.limit_time(5)
        confinement.limit_time(0)
        print(signal.getitimer(signal.ITIMER_REAL)[0])
        """,
    )
    assert words == ["0.0", "code=0"]
