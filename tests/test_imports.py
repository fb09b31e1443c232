"""What importing raydo costs, and that every name it promises is there."""

from __future__ import annotations

import subprocess
import sys

import pytest

import raydo

HEAVY = (
    "ray",
    "pyarrow",
    "fastapi",
    "starlette",
    "pyiceberg",
    "uvicorn",
    "sqlite_utils",
    "msgspec",
)


def python(script: str) -> str:
    """Run a script in a fresh interpreter and return what it printed."""
    process = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert process.returncode == 0, process.stderr
    return process.stdout.strip()


def test_import_raydo_loads_no_server_library_and_no_client_library() -> None:
    loaded = python(
        f"import raydo, sys; print([m for m in {(*HEAVY, 'httpx', 'msgpack')} if m in sys.modules])"
    )

    assert loaded == "[]"


BLOCKED = f"""
import importlib.abc, sys

class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {HEAVY}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
"""


@pytest.mark.parametrize(
    "use",
    [
        "from raydo import Analytics; print(Analytics('acme').get_dau)",
        "from raydo import DurableObject, call, cast",
        "import raydo; raydo.wait, raydo.gather, raydo.flush, raydo.RaydoError",
        "import raydo; raydo.connect('http://127.0.0.1:8000')",
    ],
)
def test_a_clients_dependencies_are_enough_for_a_client(use: str) -> None:
    python(BLOCKED + use)


def test_every_promised_name_is_there_and_found_by_editors() -> None:
    for name in raydo.__all__:
        assert getattr(raydo, name).__name__ == name or name == "Stub"
        assert name in dir(raydo)
    assert sorted(raydo.__all__) == raydo.__all__


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="raydo has no 'conect'"):
        _ = raydo.conect  # type: ignore[attr-defined]


def test_no_module_is_loaded_under_two_names() -> None:
    doubles = python(
        "import raydo, sys, collections\n"
        "[getattr(raydo, name) for name in raydo.__all__ if name != 'connect']\n"
        "files = collections.Counter(m.__file__ for m in list(sys.modules.values())"
        " if getattr(m, '__file__', None))\n"
        "print([f for f, n in files.items() if n > 1 and '/site-packages/' not in f"
        " and '/lib/python' not in f])"
    )

    assert doubles == "[]"
