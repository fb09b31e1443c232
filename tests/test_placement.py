from __future__ import annotations

from raydo.actors.placement import Placement
from raydo.pipelining.noun import Noun


def noun(number: int) -> Noun:
    return Noun("Analytics", f"t{number}")


def with_hosts(count: int, *, hosts_max: int = 4, standbys: int = 1) -> Placement:
    placement = Placement(hosts_max, standbys)
    for number in range(count):
        placement.add(f"h{number}")
    return placement


def test_objects_get_a_host_each_while_there_are_standbys_and_share_the_least_loaded_then() -> None:
    placement = with_hosts(3)
    first = [placement.place(noun(n)) for n in range(3)]
    assert sorted(map(str, first)) == ["h0", "h1", "h2"]
    more = [placement.place(noun(n)) for n in range(3, 9)]
    assert sorted(map(str, more)) == ["h0", "h0", "h1", "h1", "h2", "h2"]


def test_an_object_keeps_its_host_until_it_leaves() -> None:
    placement = with_hosts(2)
    host = placement.place(noun(1))
    assert host is not None
    placement.place(noun(2))
    assert placement.place(noun(1)) == host
    placement.leave(noun(1), host)
    assert placement.where(noun(1)) is None
    assert placement.objects(host) == frozenset()


def test_a_late_word_from_a_former_host_changes_nothing() -> None:
    placement = with_hosts(2)
    placement.settle(noun(1), "h1")
    placement.leave(noun(1), "h0")
    assert placement.where(noun(1)) == "h1"


def test_a_lost_hosts_objects_are_placed_elsewhere() -> None:
    placement = with_hosts(2)
    for n in range(6):
        placement.place(noun(n))
    lost = placement.lose("h0")
    assert len(lost) == 3
    assert {placement.place(each) for each in lost} == {"h1"}
    assert placement.lose("h0") == frozenset()


def test_nobody_can_be_placed_before_the_first_host_is_up() -> None:
    assert Placement(4, 1).place(noun(1)) is None


def test_a_standby_is_missing_until_there_are_as_many_hosts_as_allowed() -> None:
    placement = Placement(3, 2)
    assert placement.missing() == 2
    placement.starting = 2
    assert placement.missing() == 0
    placement.starting = 0
    placement.add("h0")
    placement.add("h1")
    assert placement.missing() == 0
    placement.place(noun(1))
    assert placement.missing() == 1
    placement.add("h2")
    for n in range(2, 9):
        placement.place(noun(n))
    assert placement.missing() == 0
