"""One person's events page by page, and where one event is."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from raydo.actors.analytics import Analytics
from raydo.actors.world import World
from raydo.pipelining.errors import InvalidArgument
from raydo.pipelining.limits import TIMELINE_EVENTS_MAX

MINUTE_MS = 60_000


@pytest.fixture
def acme(live: Any) -> Any:
    return live(Analytics)


def pages(acme: Any, user: str, limit: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    before = None
    while True:
        page = acme.call("timeline", user, before, limit)
        assert len(page["events"]) <= limit
        found += page["events"]
        if page["next"] is None:
            return found
        before = page["next"]


def test_pages_show_each_of_a_persons_events_once_newest_first(acme: Any) -> None:
    now_ms = acme.clock.now_ms()
    for n in range(40):  # three of a moment, and others' between them
        moment = now_ms - n // 3 * 7 * MINUTE_MS
        acme.call("track", "Visit", {"userId": "u", "n": n}, timestamp=moment, messageId=f"m{n}")
        acme.call("track", "Visit", {"userId": "other"}, timestamp=moment)

    for limit in (1, 2, 3, 7, 39, 40, 41):
        found = pages(acme, "u", limit)
        assert sorted(event["properties"]["n"] for event in found) == list(range(40))
        order = [(event["timestamp"], event["seq"]) for event in found]
        assert order == sorted(order, reverse=True)


def test_a_page_may_begin_before_any_moment(acme: Any) -> None:
    now_ms = acme.clock.now_ms()
    for n in range(6):
        acme.call("track", "Visit", {"userId": "u"}, timestamp=now_ms - n * 1_000)

    assert len(acme.call("timeline", "u", now_ms - 2_000)["events"]) == 3
    assert acme.call("timeline", "u", 5)["events"] == []
    assert acme.call("timeline", "nobody")["events"] == []


def test_a_person_has_one_timeline_under_all_its_ids(acme: Any) -> None:
    acme.call("track", "Visit", {"anonymousId": "device"})
    acme.call("track", "SignUp", {"userId": "ann", "anonymousId": "device"})
    acme.call("track", "Visit", {"userId": "ann"})

    for user in ("ann", "device"):
        told = acme.call("timeline", user)
        assert [event["event"] for event in told["events"]] == ["Visit", "SignUp", "Visit"]
        assert (told["person_id"], sorted(told["ids"])) == ("ann", ["ann", "device"])


@pytest.mark.parametrize("before", ["x", "1.x", "-1", 1.5, True, 2**60])
def test_what_is_no_place_in_a_timeline_is_refused(acme: Any, before: object) -> None:
    with pytest.raises(InvalidArgument):
        acme.call("timeline", "u", before)


@pytest.mark.parametrize("limit", [0, TIMELINE_EVENTS_MAX + 1, "5", True])
def test_a_page_has_a_length(acme: Any, limit: object) -> None:
    with pytest.raises(InvalidArgument):
        acme.call("timeline", "u", None, limit)


def test_an_event_is_in_the_log_until_it_is_drained(acme: Any) -> None:
    acme.call("track", "Visit", {"userId": "u"}, messageId="m1")

    told = acme.call("event", "m1")
    assert (told["layer"], told["found"], told["remembered"]) == ("L1", True, True)
    [event] = told["events"]
    assert (event["logged"], event["drained"], event["rolled_up"]) == (True, False, False)

    acme.call("query", "SELECT 1 FROM events")
    told = acme.call("event", "m1")
    assert told["layer"] == "L2"
    assert {**event, "drained": True, "rolled_up": True} == told["events"][0]
    assert event["seq"] == 1


def test_asking_for_an_event_does_not_make_its_id_known(acme: Any) -> None:
    assert acme.call("event", "m1")["found"] is False
    assert acme.call("event", "m1")["remembered"] is False
    acme.call("track", "Visit", messageId="m1")
    assert acme.call("stats")["events"] == {"Visit": 1}


def test_an_id_that_raydo_made_is_found_and_one_of_a_month_ago_no_longer_remembered(
    acme: Any,
) -> None:
    made = acme.call("track", "Visit")
    acme.call("track", "Visit", messageId="old")
    acme.clock.advance(days=30)
    acme.call("track", "Visit", messageId="old")
    acme.call("track", "Visit", messageId="new")

    assert acme.call("event", made)["found"] is True
    assert len(acme.call("event", "old")["events"]) == 1  # of the log alone
    acme.call("query", "SELECT 1 FROM events")
    told = acme.call("event", "old")
    assert (len(told["events"]), told["remembered"]) == (2, True)
    acme.clock.advance(days=30)
    acme.call("track", "Visit", messageId="newer")
    assert acme.call("event", "old")["remembered"] is False


@pytest.mark.parametrize("message_id", ["", 5, "x" * 300, None])
def test_what_is_no_message_id_is_refused(acme: Any, message_id: object) -> None:
    with pytest.raises(InvalidArgument):
        acme.call("event", message_id)


@pytest.mark.slow
def test_an_archived_event_names_its_snapshot_and_stays_in_its_timeline(tmp_path: Path) -> None:
    with World(tmp_path) as world:
        stub = world.stub(Analytics, "acme")
        now_ms = world.now_ms
        for n in range(5):
            moment = now_ms - n * 10 * 86_400_000
            world.wait(stub.track("Visit", {"userId": "u"}, messageId=f"m{n}", timestamp=moment))
        world.wait(stub.archive(15 * 86_400))
        deadline = time.monotonic() + 60
        while (run := world.wait(stub.archive_runs())[-1])["state"] != "deleted":
            assert time.monotonic() < deadline
            time.sleep(0.02)  # another thread archives

        told = world.wait(stub.event("m3"))
        assert told["layer"] == "L3"
        assert told["events"][0]["archived"] == {
            "run": run["run"],
            "snapshot_id": str(run["snapshot_id"]),
            "committed_ms": run["committed_ms"],
        }
        assert world.wait(stub.event("m1"))["events"][0]["archived"] is None
        page = world.wait(stub.timeline("u"))
        assert [event["id"] for event in page["events"]] == ["m0", "m1", "m2", "m3", "m4"]
        assert world.wait(stub.timeline("u", None, 1))["layer"] == "L2"
