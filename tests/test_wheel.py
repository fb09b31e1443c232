"""The wheel, in an empty environment away from the repository."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

CLIENT = """
import sys
import raydo, raydo.pipelining
from raydo import Analytics, DurableObject, call

class Mine(DurableObject):
    @call
    def hello(self) -> str:
        return "hello"

stub = Analytics("acme")
assert str(stub.noun) == "Analytics('acme')", stub.noun
heavy = {"ray", "pyarrow", "fastapi", "msgspec", "sqlite_utils", "duckdb"} & set(sys.modules)
assert not heavy, heavy
print(raydo.__file__)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    source = tmp_path_factory.mktemp("source")
    for name in ("actors", "gateway", "pipelining"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "__init__.py", "testing.py", "py.typed"):
        shutil.copy(ROOT / name, source / name)
    build = "from setuptools.build_meta import build_wheel; print(build_wheel('dist'))"
    (source / "dist").mkdir()
    subprocess.run([sys.executable, "-c", build], cwd=source, check=True, capture_output=True)
    return next((source / "dist").glob("raydo-*.whl"))


def test_the_wheel_holds_the_four_packages_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    tops = {"/".join(name.split("/")[:2]) for name in names if ".dist-info" not in name}
    folders = {top for top in tops if not top.endswith((".py", ".typed"))}
    assert folders == {"raydo/actors", "raydo/gateway", "raydo/pipelining"}
    served = {"raydo/gateway/raydo.js"}
    assert {"raydo/__init__.py", "raydo/testing.py", "raydo/py.typed"} | served <= set(names)


def test_a_client_needs_the_wheel_and_its_two_dependencies_only(wheel, tmp_path):
    python = tmp_path / "venv" / "bin" / "python"
    uv = shutil.which("uv")
    if uv:
        subprocess.run(
            [uv, "venv", "-q", "--python", sys.executable, tmp_path / "venv"], check=True
        )
        install = [uv, "pip", "install", "-q", "--python", python]
    else:
        subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
        install = [python, "-m", "pip", "install", "-q"]
    subprocess.run([*install, wheel], check=True, cwd=tmp_path)

    done = subprocess.run(
        [python, "-c", CLIENT], check=False, cwd=tmp_path, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).is_relative_to(tmp_path)
