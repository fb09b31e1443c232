"""How a user's class reaches another process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from support import jar
from support.jar import Jar

from raydo.actors import catalog
from raydo.actors.object import DurableObject
from raydo.pipelining.errors import InvalidArgument
from raydo.pipelining.method import Exposed

BELL = """
from raydo import DurableObject, call

class Bell(DurableObject):
    @call(js="ringTimes", alias=("times",))
    def ring(self, times: int = 1) -> str:
        return SOUND * times

SOUND = "ding"
"""


@pytest.fixture
def conjured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Declare a class in a module that no file gives, as a notebook does."""
    module = ModuleType("conjured")
    monkeypatch.setitem(sys.modules, "conjured", module)
    exec(BELL, vars(module))


READ = """
import pickle, sys
from raydo.actors import catalog
from raydo.pipelining.method import exposed_by, methods_of
from raydo.pipelining.stub import registered
paths, pickled = pickle.load(sys.stdin.buffer)
catalog.unpack(catalog.Parcel(paths, pickled))
cls = registered(sys.argv[1])
print(sorted(methods_of(cls)), sorted(exposed_by(cls)))
"""


def read_elsewhere(parcel: catalog.Parcel, name: str) -> str:
    import pickle

    done = subprocess.run(
        [sys.executable, "-c", READ, name],
        input=pickle.dumps((parcel.paths, parcel.pickled)),
        capture_output=True,
        check=True,
        timeout=60,
    )
    return done.stdout.decode().strip()


def test_modules_are_named_once_whatever_names_them() -> None:
    assert catalog.modules_of(["support.jar", jar, Jar]) == ("support.jar",)
    assert catalog.modules_of([]) == ()


def test_a_module_that_fails_is_named_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_objects.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(InvalidArgument, match=r"'broken_objects'.*ZeroDivisionError"):
        catalog.load(["broken_objects"])


def test_a_class_of_a_module_is_imported_there_by_this_processs_paths() -> None:
    assert (
        read_elsewhere(catalog.parcel("Jar"), "Jar")
        == "['degraded', 'erase_everything', 'names', 'put', 'spill'] ['counters']"
    )


def test_a_class_that_cannot_be_imported_arrives_whole(conjured: None) -> None:
    parcel = catalog.parcel("Bell")

    names = read_elsewhere(catalog.Parcel((), parcel.pickled), "Bell")

    assert names == "['degraded', 'erase_everything', 'ring', 'ringTimes', 'times'] ['counters']"


def test_a_class_that_is_not_known_here_is_left_to_the_hosts_modules() -> None:
    assert catalog.parcel("NobodyKnows").pickled is None


def test_exposed_parts_survive_the_journey() -> None:
    assert isinstance(vars(DurableObject)["counters"], Exposed)
