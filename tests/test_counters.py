from __future__ import annotations

import tracemalloc
from datetime import timedelta
from typing import Any

import pytest
from support.counted import taken

from raydo.actors import counter_store
from raydo.actors.counters import Counters
from raydo.pipelining.errors import InvalidArgument
from raydo.pipelining.limits import COUNTER_KEY_BYTES_MAX
from raydo.pipelining.method import methods_of

T0 = 1_767_225_600_123


@pytest.fixture
def counters() -> Counters:
    return Counters(T0)


def test_incr_returns_the_new_value(counters: Counters) -> None:
    assert counters.incr("event:Signup") == 1
    assert counters.incr("event:Signup", 41) == 42
    assert counters.incr("event:Signup", -2) == 40
    assert counters.get("event:Signup") == 40


def test_an_absent_counter_is_zero(counters: Counters) -> None:
    assert counters.get("nobody") == 0
    assert counters.count("nobody:*") == 0
    assert counters.count("nobody") == 0


def test_a_plain_counter_never_expires(counters: Counters) -> None:
    counters.incr("total")

    counters.now_ms += 10**12

    assert counters.get("total") == 1
    assert counters.incr("total") == 2


def test_a_sliding_counter_expires_ttl_after_the_last_incr(counters: Counters) -> None:
    counters.incr("active:alice", ttl=60)
    counters.now_ms += 59_999
    assert counters.incr("active:alice", ttl=60) == 2

    counters.now_ms += 59_999
    assert counters.get("active:alice") == 2
    counters.now_ms += 1
    assert counters.get("active:alice") == 0
    assert counters.incr("active:alice", ttl=60) == 1


def test_an_incr_without_ttl_keeps_the_keys_own(counters: Counters) -> None:
    counters.incr("active:alice", ttl=60)
    counters.now_ms += 50_000
    counters.incr("active:alice")

    counters.now_ms += 59_999
    assert counters.get("active:alice") == 2
    counters.now_ms += 1
    assert counters.get("active:alice") == 0


def test_a_shorter_ttl_holds_at_once(counters: Counters) -> None:
    counters.incr("active:alice", ttl=3600)
    counters.incr("active:alice", ttl=1)

    counters.now_ms += 1_000

    assert counters.count("active:*") == 0
    assert counters.get("active:alice") == 0


def test_a_fixed_counter_expires_ttl_after_the_first_incr(counters: Counters) -> None:
    counters.incr("tries:10.0.0.1", ttl=60, mode="fixed")
    counters.now_ms += 59_999
    assert counters.incr("tries:10.0.0.1", ttl=600, mode="fixed") == 2

    counters.now_ms += 1

    assert counters.get("tries:10.0.0.1") == 0
    assert counters.count("tries:*") == 0
    assert counters.incr("tries:10.0.0.1", ttl=60, mode="fixed") == 1


def test_what_happened_too_long_ago_changes_nothing(counters: Counters) -> None:
    for mode in ("sliding", "fixed", "window"):
        assert counters.incr(f"{mode}:a", ttl=60, mode=mode, at_ms=T0 - 60_000) == 0
    counters.incr("sliding:a", ttl=60)
    assert counters.incr("sliding:a", ttl=60, at_ms=T0 - 60_000) == 1

    assert counters.count("*") == 1
    assert counters.get("sliding:a") == 1


def test_a_late_incr_counts_from_its_own_time(counters: Counters) -> None:
    counters.incr("active:late", ttl=60, at_ms=T0 - 45_000)
    counters.incr("window", ttl=60, mode="window", at_ms=T0 - 45_000)
    assert counters.count("active:*", within_s=45) == 0
    assert counters.count("active:*", within_s=46) == 1

    counters.now_ms += 14_999
    assert (counters.get("active:late"), counters.get("window")) == (1, 1)
    counters.now_ms += 1
    assert (counters.get("active:late"), counters.get("window")) == (0, 0)


def test_a_late_incr_does_not_make_a_key_older(counters: Counters) -> None:
    counters.incr("active:alice", ttl=60)
    counters.incr("active:alice", ttl=60, at_ms=T0 - 50_000)

    counters.now_ms += 59_999

    assert counters.get("active:alice") == 2


def test_a_time_ahead_counts_as_now(counters: Counters) -> None:
    counters.incr("active:alice", ttl=60, at_ms=T0 + 10**9)

    counters.now_ms += 60_000

    assert counters.get("active:alice") == 0


def test_a_clock_set_back_loses_nothing(counters: Counters) -> None:
    counters.incr("active:alice", ttl=60)
    counters.now_ms -= 3_600_000
    counters.incr("active:bob", ttl=60)

    assert counters.count("active:*", within_s=10) == 2
    counters.now_ms += 60_000
    assert counters.count("active:*") == 1
    counters.now_ms = T0 + 60_000
    assert counters.count("active:*") == 0


def test_count_tells_who_was_active_within_any_length_of_time(counters: Counters) -> None:
    for second in range(100):
        counters.now_ms = T0 + second * 1_000
        counters.incr(f"active:{second}", ttl=1_800)

    assert counters.count("active:*") == 100
    assert counters.count("active:*", within_s=1) == 1
    assert counters.count("active:*", within_s=60) == 60
    assert counters.count("active:*", within_s=59.001) == 60
    assert counters.count("active:*", within_s=timedelta(minutes=5)) == 100
    counters.now_ms += 999
    assert counters.count("active:*", within_s=1) == 1
    counters.now_ms += 1
    assert counters.count("active:*", within_s=1) == 0


def test_count_knows_a_ttl_that_grew(counters: Counters) -> None:
    counters.incr("active:alice", ttl=1)
    counters.incr("active:alice", ttl=100)
    counters.now_ms += 50_000

    assert counters.count("active:*", within_s=10) == 0
    assert counters.count("active:*", within_s=50.001) == 1


def test_count_takes_any_prefix_or_a_whole_key(counters: Counters) -> None:
    for key in ("a:1", "a:2", "a:b:1", "ab:1", "plain", "apple"):
        counters.incr(key, ttl=60)

    counted = {
        pattern: counters.count(pattern)
        for pattern in ("*", "a*", "a:*", "a:b:*", "a:b*", "ab*", "p*", "a:1", "a", "b*", "a:3")
    }

    assert counted == {
        "*": 6,
        "a*": 5,
        "a:*": 3,
        "a:b:*": 1,
        "a:b*": 1,
        "ab*": 1,
        "p*": 1,
        "a:1": 1,
        "a": 0,
        "b*": 0,
        "a:3": 0,
    }
    assert counters.count("a*", within_s=60) == 5
    assert counters.count("a:1", within_s=60) == 1


def test_plain_keys_are_live_but_know_no_time(counters: Counters) -> None:
    counters.incr("event:Signup")

    assert counters.count("event:*") == 1
    assert counters.count("event:*", within_s=60) == 0
    assert counters.count("event:Signup", within_s=60) == 0


def test_items_and_top_list_what_lives(counters: Counters) -> None:
    counters.incr_many([("event:A", 1), ("event:B", 3), ("event:C", 3), ("other", 9)])
    counters.incr("event:gone", 99, ttl=1)
    counters.now_ms += 1_000

    assert sorted(counters.items("event:")) == [("event:A", 1), ("event:B", 3), ("event:C", 3)]
    assert counters.top("event:", 2) == [("event:B", 3), ("event:C", 3)]
    assert counters.top("", 1) == [("other", 9)]
    assert len(counters.items()) == 4


def test_a_derived_counter_is_computed_when_asked_for(counters: Counters) -> None:
    counters.define("active_users_1m", lambda: counters.count("active:*", within_s=60))
    counters.incr("active:alice", ttl=1_800)

    assert counters.get("active_users_1m") == 1
    counters.now_ms += 60_000
    assert counters.derived() == {"active_users_1m": 0}


def test_only_get_and_count_can_be_reached_from_outside() -> None:
    assert sorted(methods_of(Counters)) == ["count", "get"]


def test_delete_removes_a_counter(counters: Counters) -> None:
    counters.incr("cart:1", ttl=60)
    taken(counters)

    assert counters.delete("cart:1")
    assert not counters.delete("cart:1")
    assert counters.count("cart:*") == 0
    assert taken(counters) == [("cart:1", None)]


def test_a_bounded_prefix_counts_the_rest_as_one(counters: Counters) -> None:
    counters.bound("event:", 2, "event:(other)")
    for name in ("A", "B", "C", "D", "A"):
        counters.incr(f"event:{name}")
    counters.incr_many([("event:E", 5), ("B", 1)])

    assert dict(counters.items()) == {"event:A": 2, "event:B": 1, "event:(other)": 7, "B": 1}


def test_a_bounded_prefix_takes_new_keys_as_old_ones_expire(counters: Counters) -> None:
    counters.bound("active:", 1, "active:(other)")
    counters.incr("active:alice", ttl=60)
    counters.incr("active:bob", ttl=60)
    assert sorted(counters.items()) == [("active:(other)", 1), ("active:alice", 1)]

    counters.now_ms += 60_000
    counters.incr("active:bob", ttl=60)

    assert counters.items() == [("active:bob", 1)]


@pytest.mark.parametrize(
    ("prefix", "other"), [("", "x"), ("a", "a:x"), ("a:b:", "a:b:x"), ("a:", "b:x")]
)
def test_a_bound_needs_a_prefix_with_one_colon(counters: Counters, prefix: str, other: str) -> None:
    with pytest.raises(InvalidArgument, match="only colon"):
        counters.bound(prefix, 1, other)


def test_there_is_room_for_so_many_keys(
    counters: Counters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counter_store, "COUNTER_KEYS_MAX", 3)
    counters.incr("plain")
    counters.incr_many([("active:a", 1), ("active:b", 1)], ttl=60)

    with pytest.raises(InvalidArgument, match="at most 3 counters"):
        counters.incr("another")
    assert counters.incr("plain") == 2
    counters.now_ms += 60_000
    assert counters.incr("another") == 1


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"key": 5}, "key is text"),
        ({"key": "x" * (COUNTER_KEY_BYTES_MAX + 1)}, "at most"),
        ({"key": "\ud800"}, "valid Unicode"),
        ({"by": "1"}, "finite number"),
        ({"by": True}, "finite number"),
        ({"by": float("nan")}, "finite number"),
        ({"by": float("inf")}, "finite number"),
        ({"ttl": 0}, "length of time"),
        ({"ttl": -1}, "length of time"),
        ({"ttl": float("nan")}, "length of time"),
        ({"ttl": 1e18}, "length of time"),
        ({"ttl": "60"}, "length of time"),
        ({"ttl": 60, "mode": "rolling"}, "mode is"),
    ],
)
@pytest.mark.parametrize("present", [None, "plain", "timed"])
def test_what_makes_no_sense_is_refused_and_changes_nothing(
    counters: Counters, arguments: dict[str, Any], match: str, present: str | None
) -> None:
    if present:
        counters.incr("key", ttl=60 if present == "timed" else None)
    before = dict(counters.items())

    with pytest.raises(InvalidArgument, match=match):
        counters.incr(**{"key": "key", **arguments})

    assert dict(counters.items()) == before


def test_a_mode_needs_a_ttl_unless_the_key_has_one(counters: Counters) -> None:
    counters.incr("plain")
    for key in ("plain", "new"):
        with pytest.raises(InvalidArgument, match="needs a ttl"):
            counters.incr(key, mode="fixed")

    counters.incr("timed", ttl=60)
    assert counters.incr("timed", mode="fixed") == 2


def test_a_counter_never_becomes_infinite(counters: Counters) -> None:
    for key, more in (("plain", {}), ("timed", {"ttl": 60}), ("w", {"ttl": 60, "mode": "window"})):
        counters.incr(key, 1e308, **more)
        with pytest.raises(InvalidArgument, match="infinite"):
            counters.incr(key, 1e308, **more)
        assert counters.get(key) == 1e308


def test_count_and_get_refuse_what_is_no_text(counters: Counters) -> None:
    for wrong in (None, 5, b"a"):
        with pytest.raises(InvalidArgument):
            counters.get(wrong)  # type: ignore[arg-type]
        with pytest.raises(InvalidArgument):
            counters.count(wrong)  # type: ignore[arg-type]


def test_rollback_undoes_a_turn_and_keeps_what_came_before(counters: Counters) -> None:
    counters.incr("plain", 5)
    counters.incr("active:alice", ttl=60)
    taken(counters)
    before, mark = sorted(counters.items()), counters.mark()

    counters.incr("plain")
    counters.incr("plain", ttl=1)
    counters.incr("active:alice", ttl=7)
    counters.incr("active:bob", ttl=60)
    counters.incr("w", ttl=60, mode="window")
    counters.delete("active:alice")
    counters.rollback(mark)

    assert sorted(counters.items()) == before
    assert taken(counters) == []
    counters.now_ms += 59_999
    assert counters.count("active:*") == 1
    counters.now_ms += 1
    assert counters.count("active:*") == 0


def test_a_rollback_keeps_the_calls_before_its_mark(counters: Counters) -> None:
    counters.incr("a")
    mark = counters.mark()
    counters.incr("a")
    counters.rollback(mark)
    counters.incr("b")

    assert dict(counters.items()) == {"a": 1, "b": 1}
    assert sorted(key for key, _ in taken(counters)) == ["a", "b"]


def test_changes_hold_each_changed_key_once(counters: Counters) -> None:
    counters.incr("a")
    counters.incr("a")
    counters.incr("b", ttl=60)
    assert sorted(key for key, _ in taken(counters)) == ["a", "b"]
    assert taken(counters) == []

    counters.incr("a")
    [(key, row)] = taken(counters)

    fresh = Counters(T0)
    assert row is not None
    fresh.load([(key, row)])
    assert fresh.items() == [("a", 3)]


def test_an_expired_keys_row_is_deleted_with_the_next_rows(counters: Counters) -> None:
    counters.incr("active:alice", ttl=60)
    taken(counters)

    counters.now_ms += 61_000

    assert taken(counters) == [("active:alice", None)]
    assert taken(counters) == []


def test_a_key_that_expired_and_came_again_is_kept(counters: Counters) -> None:
    counters.incr("active:alice", 7, ttl=60)
    taken(counters)
    counters.now_ms += 61_000
    counters.count("*")
    counters.incr("active:alice", ttl=60)

    [(key, row)] = taken(counters)

    assert (key, row is not None) == ("active:alice", True)


def test_a_row_that_expired_is_deleted_though_its_return_was_undone(counters: Counters) -> None:
    counters.incr("active:alice", ttl=60)
    taken(counters)
    counters.now_ms += 60_000

    mark = counters.mark()
    counters.incr("active:alice", ttl=60)
    counters.rollback(mark)

    assert taken(counters) == [("active:alice", None)]


def test_giving_out_rows_hides_no_expiry_of_the_same_second(counters: Counters) -> None:
    counters.incr("active:alice", ttl=1)
    counters.now_ms += 1_000

    taken(counters)

    assert counters.count("active:*") == 0


def test_rows_that_expired_while_nobody_looked_are_not_loaded(counters: Counters) -> None:
    counters.incr("active:alice", ttl=60)
    rows = [(key, row) for key, row in taken(counters) if row]

    late = Counters(T0 + 60_000)
    late.load(rows)

    assert late.items() == []
    assert taken(late) == [("active:alice", None)]


def test_the_memory_of_expired_keys_is_freed(counters: Counters) -> None:
    tracemalloc.start()
    for cycle in range(20):
        counters.now_ms = T0 + cycle * 10_000
        counters.incr_many([(f"g{cycle}:{n}", 1) for n in range(500)], ttl=1)
        counters.incr_many([(f"active:{n}", 1) for n in range(500)], ttl=5 + cycle % 3)
        taken(counters)
        if cycle == 3:
            early, _ = tracemalloc.get_traced_memory()
    late, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert late < early * 1.2 + 20_000
    counters.now_ms += 10**7
    assert counters.items() == []
    assert not counters._groups


def test_a_key_made_and_deleted_for_ever_leaves_nothing_behind(counters: Counters) -> None:
    for step in range(2_000):
        counters.now_ms = T0 + step * 1_000
        counters.incr("cart:1", ttl=86_400)
        counters.delete("cart:1")

    assert len(counters._deadlines._order) < 100
