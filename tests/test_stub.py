from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from support.connected import connected
from support.shop import Bench, Shop, Tally

from raydo.pipelining.errors import (
    BadDeclaration,
    InvalidArgument,
    InvalidTenant,
    NotConnected,
    UnknownMethod,
    UnknownObject,
)
from raydo.pipelining.method import call
from raydo.pipelining.noun import Noun
from raydo.pipelining.stub import Remote, StubObject, make_stub, new_instance, registered


def test_calling_a_class_names_an_object_and_does_nothing_else() -> None:
    shop = Shop("acme")

    assert isinstance(shop, StubObject)
    assert shop.noun == Noun("Shop", "acme")
    assert repr(shop) == "<stub of Shop('acme')>"


@pytest.mark.parametrize("tenant", ["", "a\0b", "\ud800", "x" * 257, 7, None])
def test_a_bad_tenant_is_refused_at_once(tenant: Any) -> None:
    with pytest.raises(InvalidTenant):
        Shop(tenant)


def test_an_unknown_method_is_refused_at_once_with_those_that_are_there() -> None:
    with pytest.raises(UnknownMethod, match=r"Shop has no method 'oder'; it has .*order"):
        Shop("acme").oder()  # type: ignore[attr-defined]
    with pytest.raises(UnknownMethod):
        Shop("acme").hidden()
    with pytest.raises(UnknownMethod):
        Shop("acme").tally.secret()


def test_wrong_arguments_are_refused_where_they_are_given() -> None:
    with pytest.raises(InvalidArgument, match=r"order\(\): missing a required argument: 'item'"):
        Shop("acme").order()  # type: ignore[call-arg]
    with pytest.raises(InvalidArgument, match=r"\$\[0\] is a object"):
        Shop("acme").price(object())  # type: ignore[arg-type]


def test_python_itself_is_not_fooled_by_a_stub() -> None:
    shop = Shop("acme")

    assert not hasattr(shop, "_repr_html_")
    assert not hasattr(shop, "__len__")
    assert hasattr(shop, "order")


def test_without_a_connection_a_call_says_which_line_to_add() -> None:
    with pytest.raises(NotConnected, match=r"async with raydo.connect\(\)"):
        Shop("acme").order("pen")


async def test_one_stub_outlives_connections() -> None:
    shop = Shop("acme")

    async with connected() as first:
        await shop.order("pen")
    async with connected() as second:
        await shop.order("ink")

    assert first.receiver.calls == second.receiver.calls == ["order"]


def test_a_live_object_is_made_past_the_stub() -> None:
    shop: Any = new_instance(Shop)

    assert type(shop) is Shop
    assert shop.order("pen") == "order-1"


def test_a_class_is_found_by_its_name() -> None:
    assert registered("Shop") is Shop
    with pytest.raises(UnknownObject, match=r"no durable object 'Shed' here; there are .*Shop"):
        registered("Shed")
    with pytest.raises(UnknownObject):
        registered("Bench")  # a base, declared with register=False


def declare(name: str, **space: Any) -> Any:
    return type(Bench)(name, (Bench,), {"__module__": __name__, "__qualname__": name, **space})


def test_a_class_declared_again_replaces_itself() -> None:
    declare("Kiosk")
    again = declare("Kiosk")

    assert registered("Kiosk") is again


def test_two_classes_cannot_share_a_name() -> None:
    declare("Stall")
    with pytest.raises(BadDeclaration, match=r"other\.Stall share a name"):
        declare("Stall", __module__="other")


def test_a_users_init_is_refused_with_what_to_write_instead() -> None:
    with pytest.raises(BadDeclaration, match="on_start"):

        class Wrong(Remote):
            def __init__(self) -> None: ...


def test_bad_exposures_are_refused_at_declaration() -> None:
    with pytest.raises(BadDeclaration, match="cannot expose"):
        declare("Open", exposes=("_inner",))
    with pytest.raises(BadDeclaration, match="needs no exposing"):
        declare("Both", exposes=("days",), days=call(lambda self: 1))


async def test_a_class_known_only_by_name_can_be_called() -> None:
    declare("Booth", shout=call(lambda self, text: text.upper()))
    async with connected() as wire:
        booth = wire.connection.Booth("acme")
        loose = make_stub("Nowhere", "acme", wire.connection)

        assert await booth.shout("hi") == "HI"
        assert await wire.connection.Shop("acme").days(3)[2]["dau"] == 2
        with pytest.raises(UnknownObject):
            await loose.anything[0].at.all(1)


async def test_a_part_can_be_stepped_into_and_nothing_behind_it() -> None:
    async with connected() as wire:
        shop = wire.shop()
        shop.tally.add("x", by=3)

        assert await shop.tally.get("x") == 3
        assert wire.loopback.envelopes == 1
        with pytest.raises(UnknownMethod):
            await wire.connection.stub(Shop, "acme").tally.counts  # type: ignore[misc]


async def test_a_part_whose_class_is_unknown_is_reached_by_calls() -> None:
    class Depot(Bench):
        exposes = ("tally",)
        tally: Any = None

    async with connected() as wire:
        depot: Any = wire.connection.stub(Depot, "acme")
        await depot.tally.add("x")

        assert await depot.tally.get("x") == 1
        with pytest.raises(UnknownMethod):
            await depot.tally.secret()


@pytest.mark.parametrize("misuse", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_stub_can_be_copied_and_pickled_as_the_name_that_it_is(misuse: Any) -> None:
    again = misuse(Shop("acme"))
    if isinstance(again, bytes):
        again = pickle.loads(again)

    assert again.noun == Noun("Shop", "acme")


def test_a_stub_of_a_part_knows_its_class() -> None:
    stub: Any = Shop("acme").tally

    assert {name for name in dir(stub) if not name.startswith("_")} == {"get", "add", "noun"}
    assert Tally.get.__doc__ is None
