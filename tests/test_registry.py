"""Which machine has which tenant, for good."""

from __future__ import annotations

from pathlib import Path

import pytest

from raydo.actors.registry import Registry
from raydo.actors.site import Site
from raydo.pipelining.errors import DataInUse, NodeDown
from raydo.pipelining.noun import Noun

ONE, TWO = Site("one", Path("/data"), "m1"), Site("two", Path("/data"), "m2")


def noun(tenant: str) -> Noun:
    return Noun("Analytics", tenant)


class Machines:
    """A registry, and the machines that are up."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.up = {"m1", "m2"}
        self.registry = self.begin()

    def begin(self) -> Registry:
        self.registry = Registry(self.path, "one", lambda: frozenset(self.up))
        return self.registry

    def home(self, tenant: str) -> tuple[str, bool]:
        home = self.registry.home(noun(tenant))
        return home.site.name, home.up


@pytest.fixture
def machines(tmp_path: Path) -> Machines:
    machines = Machines(tmp_path / "registry.db")
    machines.registry.join(ONE, [])
    machines.registry.join(TWO, [])
    return machines


def test_new_tenants_go_where_the_fewest_are_and_stay_there(machines: Machines) -> None:
    homes = [machines.home(f"t{n}") for n in range(4)]
    assert homes == [("one", True), ("two", True), ("one", True), ("two", True)]

    machines.begin()  # as after a crash

    assert [machines.home(f"t{n}") for n in range(4)] == homes


def test_the_tenants_of_a_machine_that_is_down_wait_for_it_and_new_ones_go_elsewhere(
    machines: Machines,
) -> None:
    machines.home("a")
    assert machines.home("b") == ("two", True)
    machines.up.remove("m2")

    assert machines.home("b") == ("two", False)
    assert [machines.home(tenant) for tenant in "cde"] == [("one", True)] * 3
    machines.up.clear()
    with pytest.raises(NodeDown):
        machines.home("new")


def test_a_machine_brings_the_tenants_of_its_folder(machines: Machines) -> None:
    machines.registry.join(Site("three", Path("/data"), "m3"), [noun("old"), noun("older")])
    machines.up.add("m3")

    assert machines.home("old") == ("three", True)
    assert machines.registry.tenants("three") == [noun("old"), noun("older")]


def test_a_tenant_with_two_folders_stays_where_it_was_known_first(machines: Machines) -> None:
    assert machines.home("a") == ("one", True)
    machines.registry.join(TWO, [noun("a")])
    assert machines.home("a") == ("one", True)


def test_where_a_tenant_goes_that_never_began_is_not_forgotten_either(machines: Machines) -> None:
    machines.home("only-asked-for")  # and whoever asked remembers the answer

    machines.up = {"m9", "m2"}
    machines.registry.join(Site("one", Path("/data"), "m9"), [])

    assert machines.home("only-asked-for") == ("one", True)


def test_a_copied_folder_does_not_join_beside_the_original(machines: Machines) -> None:
    with pytest.raises(DataInUse, match="served already"):
        machines.registry.join(Site("one", Path("/copy"), "m2"), [])


def test_all_sites_share_one_secret_that_outlives_the_registry(machines: Machines) -> None:
    first = machines.registry.join(ONE, []).secret
    machines.begin()
    assert machines.registry.join(TWO, []).secret == first
    assert first is not None
    assert len(first) == 32
