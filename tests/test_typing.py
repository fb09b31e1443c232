"""mypy sees promises on a stub and plain values in the object."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent


def test_mypy_agrees_with_every_assert_type(tmp_path: Path) -> None:
    package = tmp_path / "raydo"
    package.mkdir()
    for part in ("actors", "gateway", "pipelining", "__init__.py", "py.typed"):
        (package / part).symlink_to(REPOSITORY / part)

    checked = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--strict", "--explicit-package-bases"),
            *("--python-version", "3.11", "--follow-imports", "silent", "--config-file", ""),
            *("--cache-dir", str(REPOSITORY / ".mypy_cache" / "typing")),
            "tests/typing/stubs.py",
        ],
        cwd=REPOSITORY,
        env={**os.environ, "MYPYPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert checked.returncode == 0, checked.stdout + checked.stderr
