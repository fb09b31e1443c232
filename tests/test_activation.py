from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from raydo.actors.activation import Activation
from raydo.actors.clock import FakeClock
from raydo.actors.effects import DAY_MS
from raydo.actors.object import DurableObject
from raydo.pipelining.codec import pack
from raydo.pipelining.errors import (
    ActivationBroken,
    DataUnreadable,
    InvalidArgument,
    ObjectFailed,
    QueryForbidden,
    StorageFull,
)
from raydo.pipelining.frame import APPLIED, GAP, KNOWN, Call, Entry, Program, Reply
from raydo.pipelining.limits import REPLY_KEPT_BYTES_MAX, SESSIONS_PER_TIDY
from raydo.pipelining.method import call, cast
from raydo.pipelining.noun import Noun


class Ledger(DurableObject):
    """An object that uses everything there is."""

    def on_start(self) -> None:
        self.sql("CREATE TABLE IF NOT EXISTS entries (text TEXT UNIQUE)")

    @cast
    def note(self, text: str) -> int:
        self.sql("INSERT INTO entries VALUES (?)", text)
        self.pipeline.emit("Noted", "ledger", {"text": text})
        return int(self.counters.incr("notes"))

    @cast
    def count(self, key: str) -> int:
        return int(self.counters.incr(key))

    @call
    def entries(self) -> list[str]:
        return [row["text"] for row in self.sql("SELECT text FROM entries ORDER BY rowid")]

    @call
    def events(self) -> int:
        return int(self.sql("SELECT count(*) AS n FROM raw_events").one()["n"])

    @call
    def seqs(self) -> list[int]:
        return [row["seq"] for row in self.sql("SELECT seq FROM raw_events ORDER BY seq")]

    @call
    def timers(self) -> list[str]:
        return [timer.name for timer in self._state.alarms.timers()]

    @call
    def total(self, key: str) -> int:
        return int(self.counters.get(key))

    @call
    def big(self, size: int) -> str:
        self.counters.incr("big")
        return "x" * size

    @call
    def do_all_and_fail(self, text: str) -> None:
        self.note(text)
        self.every.hour(self.note)
        self.zone = "Asia/Tokyo"
        self.db["others"].insert({"x": 1})
        raise ValueError("after everything")

    @call
    def read_the_zone(self) -> str:
        return self.zone

    @call
    def swallow(self) -> str:
        self.note("kept")
        try:
            self.sql("INSERT INTO entries VALUES ('kept')")
        except sqlite3.IntegrityError:
            return "swallowed"
        return "nothing to swallow"

    @call
    def lose_the_transaction(self) -> None:
        self.sql("INSERT OR ROLLBACK INTO entries VALUES ('same'), ('same')")

    @call
    def commit_by_hand(self) -> None:
        self.note("by hand")
        self.db.conn.commit()
        raise ValueError("after the commit")

    @call
    def exit(self) -> None:
        raise SystemExit


class Faulty(DurableObject):
    def on_start(self) -> None:
        raise RuntimeError("no tables today")

    @call
    def get(self) -> int:
        return 1


def program(*calls: tuple[Any, ...]) -> bytes:
    ops = tuple(Call(-1, name, list(args), {}, False) for name, *args in calls)
    return Program(ops, tuple(range(len(ops)))).encode()


def reply(answer: Any) -> list[Any]:
    assert answer.status == APPLIED
    outcomes = Reply.decode(answer.payload).results
    return [outcome.value["code"] if outcome.failed else outcome.value for outcome in outcomes]


def on_disk(data: Path, query: str) -> list[tuple[Any, ...]]:
    """What another process finds."""
    [path] = data.glob("*/*/tenant.db")
    connection = sqlite3.connect(path)
    rows = connection.execute(query).fetchall()
    connection.close()
    return rows


# Transactions


def test_what_is_answered_is_on_disk(live: Any) -> None:
    ledger = live(Ledger)
    ledger.call("note", "a")
    assert on_disk(ledger.data, "SELECT text FROM entries") == [("a",)]
    assert on_disk(ledger.data, "SELECT seq, event FROM raw_events") == [(1, "Noted")]


def test_a_call_that_raises_leaves_nothing(live: Any) -> None:
    ledger = live(Ledger)
    ledger.call("note", "a")

    with pytest.raises(ObjectFailed, match="ValueError: after everything"):
        ledger.call("do_all_and_fail", "b")

    for _ in range(2):
        assert ledger.call("entries") == ["a"]
        assert ledger.call("events") == 1
        assert ledger.call("total", "notes") == 1
        assert ledger.call("timers") == []
        assert ledger.call("read_the_zone") == "UTC"
        ledger.crash()


def test_a_call_that_raises_undoes_no_other_call_of_its_program(live: Any) -> None:
    ledger = live(Ledger)

    answers = ledger.send(
        program(("note", "a"), ("do_all_and_fail", "b"), ("note", "c"), ("entries",), ("seqs",)),
        program(("note", "a"), ("note", "d"), ("entries",)),
    )

    assert reply(answers[0]) == [1, "object_failed", 2, ["a", "c"], [1, 2]]
    assert reply(answers[1]) == ["object_failed", 3, ["a", "c", "d"]]
    ledger.crash()
    assert ledger.call("entries") == ["a", "c", "d"]
    assert ledger.call("seqs") == [1, 2, 3]
    assert ledger.call("total", "notes") == 3


def test_an_error_that_the_object_handles_undoes_nothing(live: Any) -> None:
    ledger = live(Ledger)
    assert ledger.call("swallow") == "swallowed"
    assert ledger.call("entries") == ["kept"]


def test_an_objects_own_commit_is_none(live: Any) -> None:
    ledger = live(Ledger)
    ledger.call("note", "a")
    with pytest.raises(ObjectFailed):
        ledger.call("commit_by_hand")
    assert ledger.call("entries") == ["a"]


def test_a_call_reads_what_was_emitted_before_it_in_its_turn(live: Any) -> None:
    ledger = live(Ledger)
    answers = ledger.send(program(("note", "a"), ("events",)), program(("note", "b"), ("events",)))
    assert [reply(answer)[1] for answer in answers] == [1, 2]


def test_sql_ends_with_the_turn(live: Any) -> None:
    ledger = live(Ledger)
    ledger.call("note", "a")
    with pytest.raises(QueryForbidden, match="while a call runs"):
        ledger.activation._object.sql("SELECT 1")


# Sessions


def entry(ledger: Any, n: int, acked_to: int, *calls: tuple[Any, ...]) -> Entry:
    return Entry(ledger.session, n, acked_to, program(*calls))


@pytest.mark.parametrize("crash", [False, True])
def test_a_retry_is_answered_and_not_applied_again(live: Any, crash: bool) -> None:
    ledger = live(Ledger)
    first = ledger.apply(entry(ledger, 1, 0, ("note", "a")))
    if crash:
        ledger.crash()

    assert ledger.apply(entry(ledger, 1, 0, ("note", "a"))) == first

    assert ledger.apply(entry(ledger, 2, 1, ("count", "x")))[0].status == APPLIED
    ledger.session = os.urandom(16)
    assert reply(ledger.apply(entry(ledger, 1, 0, ("entries",), ("events",)))[0]) == [["a"], 1]


def test_a_program_that_came_twice_in_one_envelope_is_applied_once(live: Any) -> None:
    ledger = live(Ledger)
    twice = entry(ledger, 1, 0, ("count", "x"))
    first, second = ledger.apply(twice, twice)
    assert first == second
    assert reply(ledger.apply(entry(ledger, 2, 1, ("total", "x")))[0]) == [1]


def test_a_program_after_a_missing_one_waits_for_it(live: Any) -> None:
    ledger = live(Ledger)
    ledger.apply(entry(ledger, 1, 0, ("count", "x")))

    assert ledger.apply(entry(ledger, 3, 0, ("count", "y"))) == [(GAP, 2)]

    ledger.apply(entry(ledger, 2, 0, ("count", "x")), entry(ledger, 3, 0, ("count", "y")))
    asked = entry(ledger, 4, 3, ("total", "x"), ("total", "y"))
    assert reply(ledger.apply(asked)[0]) == [2, 1]


def test_what_the_client_settled_needs_no_memory_here(live: Any) -> None:
    ledger = live(Ledger)
    assert reply(ledger.apply(entry(ledger, 8, 7, ("count", "x")))[0]) == [1]


def test_a_program_that_only_read_runs_again(live: Any) -> None:
    ledger = live(Ledger)
    ledger.apply(entry(ledger, 1, 0, ("count", "x")))
    read = entry(ledger, 2, 1, ("total", "x"))
    assert reply(ledger.apply(read)[0]) == [1]
    ledger.apply(entry(ledger, 3, 1, ("count", "x")))

    assert reply(ledger.apply(read)[0]) == [2]


def test_after_a_restart_programs_that_only_read_are_asked_for_again(live: Any) -> None:
    ledger = live(Ledger)
    ledger.apply(entry(ledger, 1, 0, ("count", "x")))
    ledger.apply(entry(ledger, 2, 0, ("total", "x")))
    ledger.crash()

    assert ledger.apply(entry(ledger, 3, 0, ("count", "x"))) == [(GAP, 2)]
    answers = ledger.apply(entry(ledger, 2, 0, ("total", "x")), entry(ledger, 3, 0, ("count", "x")))
    assert [reply(answer) for answer in answers] == [[1], [2]]


@pytest.mark.parametrize("crash", [False, True])
def test_a_reply_too_large_to_keep_is_known_to_have_been(live: Any, crash: bool) -> None:
    ledger = live(Ledger)
    large = entry(ledger, 1, 0, ("big", REPLY_KEPT_BYTES_MAX + 1))
    assert ledger.apply(large)[0].status == APPLIED
    if crash:
        ledger.crash()

    assert ledger.apply(large) == [(KNOWN, None)]
    assert reply(ledger.apply(entry(ledger, 2, 1, ("total", "big")))[0]) == [1]


@pytest.mark.parametrize("crash", [False, True])
def test_a_late_copy_of_a_settled_program_is_not_applied(live: Any, crash: bool) -> None:
    ledger = live(Ledger)
    late = entry(ledger, 1, 0, ("count", "x"))
    ledger.apply(late)
    ledger.apply(entry(ledger, 2, 1, ("count", "x")))
    ledger.apply(entry(ledger, 3, 2, ("count", "x")))
    ledger.activation.drain()
    assert on_disk(ledger.data, "SELECT n FROM _raydo_replies") == [(3,)]  # acked ones are freed
    if crash:
        ledger.crash()

    assert ledger.apply(late) == [(KNOWN, None)]
    assert reply(ledger.apply(entry(ledger, 4, 3, ("total", "x")))[0]) == [3]


def test_sessions_on_disk_are_bounded_and_the_longest_unused_goes_first(
    live: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = 1_000
    monkeypatch.setattr("raydo.actors.drain.SESSIONS_MAX", most)
    ledger = live(Ledger)
    sessions = [os.urandom(16) for _ in range(most + 600)]
    count = program(("count", "x"))
    for start in range(0, len(sessions), 50):
        ledger.clock.advance(milliseconds=1)
        ledger.apply(*[Entry(name, 1, 0, count) for name in sessions[start : start + 50]])
        ledger.activation.drain()

    [(kept,)] = on_disk(ledger.data, "SELECT count(*) FROM _raydo_sessions")
    assert most <= kept <= most + SESSIONS_PER_TIDY
    names = {name for (name,) in on_disk(ledger.data, "SELECT session FROM _raydo_sessions")}
    assert sessions[0] not in names
    assert sessions[-1] in names
    replies = on_disk(ledger.data, "SELECT count(*) FROM _raydo_replies")
    assert replies == [(kept,)]


def test_a_session_that_left_memory_is_still_known(
    live: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = 50
    monkeypatch.setattr("raydo.actors.sessions.SESSIONS_HELD_MAX", held)
    ledger = live(Ledger)
    count = program(("count", "x"))
    first = os.urandom(16)
    others = [os.urandom(16) for _ in range(3 * held)]
    for start in range(-50, len(others), 50):
        names = [first] if start < 0 else others[start : start + 50]
        ledger.apply(*[Entry(name, 1, 0, count) for name in names])
        ledger.activation.drain()

    before = ledger.call("total", "x")
    ledger.apply(Entry(first, 1, 0, count))
    assert ledger.call("total", "x") == before


def test_what_is_no_program_fails_alone_and_the_session_goes_on(live: Any) -> None:
    ledger = live(Ledger)
    bad, good = ledger.send(pack([[[0, 5, "x", [], {}]], [0]]), program(("count", "x")))
    failures = Reply.decode(bad.payload).failures
    assert failures[0].error["code"] == "invalid_argument"
    assert reply(good) == [1]


def test_what_is_no_envelope_is_refused(live: Any) -> None:
    ledger = live(Ledger)
    for garbage in (b"", b"\xc1", pack("text"), pack([[b"short", 1, 0, b""]])):
        with pytest.raises(InvalidArgument):
            ledger.activation.apply(garbage)
    assert ledger.call("count", "x") == 1


# Birth


def test_reading_makes_no_tenant(live: Any) -> None:
    ledger = live(Ledger)
    assert ledger.call("entries") == []
    assert ledger.call("total", "x") == 0
    ledger.crash()
    assert ledger.call("events") == 0
    assert not ledger.data.exists()


def test_a_call_that_fails_makes_no_tenant(live: Any) -> None:
    ledger = live(Ledger)
    with pytest.raises(ObjectFailed):
        ledger.call("do_all_and_fail", "a")
    assert not ledger.data.exists()


def test_the_first_effect_makes_the_tenant_and_counts_once(live: Any) -> None:
    ledger = live(Ledger, "../x")
    assert ledger.call("entries") == []
    answers = ledger.send(program(("total", "notes")), program(("note", "a"), ("events",)))

    assert [reply(answer) for answer in answers] == [[0], [1, 1]]
    [folder] = (ledger.data / "Ledger").iterdir()
    assert folder.name.startswith("x-")
    assert (folder / "id").read_text() == "../x"
    ledger.crash()
    assert ledger.call("entries") == ["a"]
    assert ledger.call("total", "notes") == 1


def test_an_object_that_wakes_unchanged_writes_nothing(live: Any) -> None:
    ledger = live(Ledger)
    ledger.call("note", "a")
    ledger.sleep()
    [path] = ledger.data.glob("*/*/tenant.db")
    before = path.read_bytes()

    assert ledger.call("entries") == ["a"]

    wal = path.with_name("tenant.db-wal")
    assert not wal.exists() or wal.stat().st_size == 0
    ledger.sleep()
    assert path.read_bytes() == before


def test_an_on_start_that_raises_says_so_and_the_next_wake_tries_again(
    live: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    faulty = live(Faulty)
    with pytest.raises(ObjectFailed, match="on_start: RuntimeError: no tables today"):
        faulty.call("get")
    assert faulty.activation.broken

    monkeypatch.setattr(Faulty, "on_start", lambda self: None)
    faulty.crash()
    assert faulty.call("get") == 1


# Restarts


def test_counters_are_exact_after_a_restart(live: Any) -> None:
    ledger = live(Ledger)
    for _ in range(5):
        ledger.call("count", "x")
    for restart in (ledger.crash, ledger.sleep):
        restart()
        assert ledger.call("total", "x") == 5


def test_expired_counters_leave_the_disk_too(live: Any) -> None:
    from raydo.actors.analytics import Analytics

    acme = live(Analytics)
    acme.call("track", "A", userId="u1")
    acme.clock.advance(hours=1)
    acme.crash()
    acme.call("track", "A", userId="u2")
    acme.activation.drain()
    keys = {key for (key,) in on_disk(acme.data, "SELECT key FROM _raydo_counters")}
    assert keys == {"event:A", "active:u2"}


def test_with_a_full_database_writes_are_refused_and_reads_go_on_until_there_is_room(
    live: Any,
) -> None:
    ledger = live(Ledger)
    ledger.call("note", "a")
    database = ledger.activation._state.database
    [(pages,)] = database.run("PRAGMA page_count")
    database.run(f"PRAGMA max_page_count={pages}")

    for _ in range(2):
        with pytest.raises(StorageFull) as told:
            ledger.call("note", "b" * 100_000)
        assert told.value.retryable
        assert ledger.call("entries") == ["a"]
        assert ledger.call("total", "notes") == 1
    ledger.call("count", "x")  # the log has room

    database.run("PRAGMA max_page_count=1000000")
    ledger.call("note", "c")
    ledger.crash()
    assert ledger.call("entries") == ["a", "c"]
    assert (ledger.call("total", "notes"), ledger.call("total", "x")) == (2, 1)


def test_an_object_that_loses_the_transaction_breaks_its_activation(live: Any) -> None:
    ledger = live(Ledger)
    ledger.call("note", "a")
    with pytest.raises(ActivationBroken):
        ledger.send(program(("note", "b"), ("lose_the_transaction",), ("note", "c")))
    ledger.crash()
    ledger.n = 1
    assert ledger.call("entries") == ["a"]
    assert ledger.call("total", "notes") == 1


def test_an_object_that_asks_to_exit_fails_that_call_and_ends_nothing(live: Any) -> None:
    ledger = live(Ledger)
    ledger.call("note", "a")
    with pytest.raises(ObjectFailed, match="SystemExit"):
        ledger.call("exit")
    assert ledger.call("entries") == ["a"]


def test_a_database_of_a_later_version_is_left_alone(live: Any) -> None:
    ledger = live(Ledger)
    ledger.call("note", "a")
    ledger.sleep()
    [path] = ledger.data.glob("*/*/tenant.db")
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("UPDATE _raydo_meta SET value = 99 WHERE key = 'schema_version'")
    connection.close()
    with pytest.raises(DataUnreadable, match="version 99"):
        ledger.call("entries")


def test_message_ids_out_of_their_window_are_dropped(live: Any) -> None:
    from raydo.actors.analytics import Analytics

    acme = live(Analytics)
    acme.call("track", "A", messageId="m1")
    acme.clock.advance(days=8)
    acme.call("track", "A", messageId="m2")
    acme.activation.drain()
    days = on_disk(acme.data, "SELECT day FROM _raydo_ids")
    assert days == [(acme.clock.now_ms() // DAY_MS,)]


VICTIM = """
import os, sys
from pathlib import Path
from raydo.actors.activation import Activation
from raydo.actors.analytics import Analytics
from raydo.actors.clock import FakeClock
from raydo.pipelining.frame import Call, Entry, Program, encode_envelope
from raydo.pipelining.noun import Noun

data, session = Path(sys.argv[1]), bytes.fromhex(sys.argv[2])
live = Activation(Noun("Analytics", "acme"), Analytics, data, clock=FakeClock(), random=os.urandom)
for n in range(1, 100_000):
    track = Call(-1, "track", ["PageView", {"userId": f"u{n}"}], {}, False)
    live.apply(encode_envelope([Entry(session, n, n - 1, Program((track,), (0,)).encode())]))
    sys.stdout.write(f"{n}\\n")
    sys.stdout.flush()
"""


def test_killed_at_any_moment_what_was_acknowledged_is_there_once(tmp_path: Path) -> None:
    session = os.urandom(16)
    victim = subprocess.Popen(
        [sys.executable, "-c", VICTIM, str(tmp_path), session.hex()], stdout=subprocess.PIPE
    )
    assert victim.stdout is not None
    acknowledged = [int(victim.stdout.readline()) for _ in range(50)][-1]
    victim.kill()
    acknowledged = max([acknowledged, *map(int, victim.stdout.read().split(b"\n")[:-1])])
    victim.wait()
    victim.stdout.close()

    from raydo.actors.analytics import Analytics

    noun = Noun("Analytics", "acme")
    live = Activation(noun, Analytics, tmp_path, clock=FakeClock(), random=os.urandom)
    track = program(("track", "PageView", {"userId": "again"}))
    retried = live.run([Entry(session, acknowledged, acknowledged - 1, track)])
    # Its reply is dropped if the next one, which says that it came, was applied before the kill.
    assert retried[0].status in {APPLIED, KNOWN}
    [retried_next] = live.run([Entry(session, acknowledged + 1, acknowledged, track)])
    assert (
        retried_next.status == APPLIED
    )  # the one under way at the kill: applied once, now or then

    asked = program(("stats",), ("dau", 1))
    [stats, [day]] = reply(live.run([Entry(os.urandom(16), 1, 0, asked)])[0])
    live.close()
    assert stats["events"] == {"PageView": acknowledged + 1}
    assert day["events"] == acknowledged + 1
    assert day["dau"] == acknowledged + 1
