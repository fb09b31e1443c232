from __future__ import annotations

from typing import Any

import pytest
from support.shop import Shop, Tally

from raydo.pipelining.errors import BadDeclaration, InvalidArgument
from raydo.pipelining.method import Exposed, Method, call, cast, exposed_by, methods_of


def test_a_method_answers_to_its_python_name_its_aliases_and_its_javascript_name() -> None:
    found = methods_of(Shop)

    assert found["list_orders"] is found["orders"] is found["listOrders"]
    assert found["list_orders"].name == "list_orders"
    assert found["list_orders"].js == "listOrders"
    assert (found["order"].kind, found["days"].kind) == ("cast", "call")


def test_nothing_undeclared_is_among_the_methods() -> None:
    assert set(methods_of(Tally)) == {"get", "add"}
    assert set(methods_of(dict)) == set()


def test_inside_the_object_a_method_is_the_plain_function() -> None:
    tally = Tally()
    tally.add("x", by=2)

    assert tally.get("x") == 2


def test_a_subclass_overrides_extends_and_calls_up() -> None:
    class Louder(Tally):
        @call
        def get(self, key: str) -> int:
            return super().get(key) + 100

        @call
        def more(self) -> int:
            return self.get("x")

    assert set(methods_of(Louder)) == {"get", "add", "more"}
    assert Louder().more() == 100


def test_an_override_without_its_decorator_is_refused() -> None:
    class Quiet(Tally):
        def get(self, key: str) -> int:  # type: ignore[override]
            return 0

    with pytest.raises(BadDeclaration, match=r"Quiet.get overrides a @call; decorate it as well"):
        methods_of(Quiet)


def test_two_methods_cannot_claim_one_name() -> None:
    class Twice:
        @call(js="one")
        def first(self) -> None: ...

        @call(alias=("one",))
        def second(self) -> None: ...

    with pytest.raises(BadDeclaration, match="both first and second claim the name 'one'"):
        methods_of(Twice)


@pytest.mark.parametrize("name", ["map", "then", "_private", "__len__"])
def test_names_that_promises_keep_for_themselves_are_refused(name: str) -> None:
    def func(self: object) -> None: ...

    with pytest.raises((BadDeclaration, RuntimeError)) as caught:
        type("Named", (), {name: call(func)})

    assert "a promise keeps" in str(caught.value.__cause__ or caught.value)


def test_an_alias_is_checked_like_a_name() -> None:
    with pytest.raises((BadDeclaration, RuntimeError)):

        class Aliased:
            @call(js="then")
            def later(self) -> None: ...


def test_async_methods_and_generators_are_refused_with_the_reason() -> None:
    async def waits(self: object) -> None: ...

    def yields(self: object) -> Any:
        yield 1

    with pytest.raises(BadDeclaration, match="plain functions"):
        call(waits)
    with pytest.raises(BadDeclaration, match="return a list"):
        cast(yields)


def takes(self: object, a: int, b: int = 2, *, c: int = 3) -> None: ...
def takes_any(self: object, *args: int, **more: int) -> None: ...
def takes_named(self: object, *, c: int) -> None: ...


@pytest.mark.parametrize(
    ("func", "args", "kwargs", "ok"),
    [
        (takes, (1,), {}, True),
        (takes, (1, 2), {"c": 4}, True),
        (takes, (), {"a": 1}, True),
        (takes, (), {}, False),
        (takes, (1, 2, 3), {}, False),
        (takes, (1,), {"a": 1}, False),
        (takes, (1,), {"d": 1}, False),
        (takes_any, (), {}, True),
        (takes_any, (1, 2, 3), {"x": 1}, True),
        (takes_named, (), {"c": 1}, True),
        (takes_named, (), {}, False),
        (takes_named, (1,), {}, False),
    ],
)
def test_arguments_are_checked_against_the_signature(
    func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], ok: bool
) -> None:
    method: Method[..., None] = call(func)

    if ok:
        method.check(args, kwargs)
    else:
        with pytest.raises(InvalidArgument, match=rf"{func.__name__}\(\): "):
            method.check(args, kwargs)


def test_exposed_attributes_are_found_by_both_spellings_and_inherited() -> None:
    class Plain:
        exposes = ("cash",)

    class Typed(Plain):
        tally = Exposed(Tally)

    assert dict(exposed_by(Typed)) == {"cash": None, "tally": Tally}


def test_an_exposed_attribute_is_the_objects_own_to_assign() -> None:
    class Typed:
        tally = Exposed(Tally)

    typed = Typed()
    with pytest.raises(AttributeError, match=r"Typed\.tally has not been assigned yet"):
        _ = typed.tally

    typed.tally = tally = Tally()
    assert typed.tally is tally
