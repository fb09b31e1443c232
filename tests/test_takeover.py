"""Two processes on one tenant: the later one has it, and the earlier does no harm."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from raydo.actors.activation import Activation
from raydo.actors.analytics import Analytics
from raydo.actors.clock import FakeClock
from raydo.actors.disk import OsDisk
from raydo.pipelining.errors import ActivationBroken
from raydo.pipelining.frame import Call, Entry, Program, Reply, decode_answers, encode_envelope
from raydo.pipelining.noun import Noun

NOUN = Noun("Analytics", "acme")
# A process that tracks one event after another and tells each answer, until it loses the tenant.
EARLIER = """
import os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from test_takeover import Lockless, activation, track
from raydo.actors.disk import OsDisk
from raydo.pipelining.errors import ActivationBroken

disk = Lockless() if sys.argv[2] == "lockless" else OsDisk()
live = activation(Path(sys.argv[1]), disk)
for n in range(1, 1_000_000):
    try:
        track(live, b"e" * 16, n, f"early-{n}")
    except ActivationBroken:
        print("lost", flush=True)
        break
    print(n, flush=True)
"""


class Lockless(OsDisk):
    """A file system whose locks are a pretence, as some network file systems' are."""

    def lock(self, handle: int) -> bool:
        del handle
        return True


def activation(data: Path, disk: OsDisk) -> Activation:
    return Activation(
        NOUN, Analytics, data, clock=FakeClock(), random=os.urandom, disk=disk, host=True
    )


def track(live: Activation, session: bytes, n: int, message_id: str) -> None:
    event = {"event": "E", "messageId": message_id, "userId": "u"}
    call(live, session, n, Call(-1, "track", [event], {}, False))


def call(live: Activation, session: bytes, n: int, op: Call) -> object:
    program = Program((op,), (0,)).encode()
    [answer] = decode_answers(live.apply(encode_envelope([Entry(session, n, n - 1, program)])))
    assert isinstance(answer.payload, bytes)
    [outcome] = Reply.decode(answer.payload).results
    assert not outcome.failed
    return outcome.value


def ids(live: Activation) -> list[str]:
    sql = "SELECT id FROM events ORDER BY seq LIMIT 10000"
    reply = call(live, os.urandom(16), 1, Call(-1, "query", [sql], {}, False))
    assert isinstance(reply, dict)
    return [row["id"] for row in reply["rows"]]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def earlier(data: Path, request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", EARLIER, str(data), request.param, str(Path(__file__).parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def answered(process: subprocess.Popen[str], count: int) -> int:
    """Read so many answers; return the number of the last."""
    assert process.stdout is not None
    return [int(process.stdout.readline()) for _ in range(count)][-1]


@pytest.mark.parametrize("earlier", ["locks"], indirect=True)
def test_a_frozen_host_is_ended_by_whoever_takes_its_tenant(
    data: Path, earlier: subprocess.Popen[str]
) -> None:
    last = answered(earlier, random.randrange(5, 40))
    os.kill(earlier.pid, signal.SIGSTOP)

    later = activation(data, OsDisk())
    track(later, b"l" * 16, 1, "late-1")

    assert earlier.wait(10) == -signal.SIGKILL
    found = ids(later)
    assert found[-1] == "late-1"
    assert found[:last] == [f"early-{n}" for n in range(1, last + 1)]
    assert len(found) == len(set(found))
    later.close()


@pytest.mark.parametrize("earlier", ["lockless"], indirect=True)
def test_where_locks_do_not_hold_a_thawed_host_answers_nothing_and_does_no_harm(
    data: Path, earlier: subprocess.Popen[str]
) -> None:
    told = answered(earlier, random.randrange(5, 40))
    os.kill(earlier.pid, signal.SIGSTOP)

    later = activation(data, Lockless())
    track(later, b"l" * 16, 1, "late-1")
    later.drain()
    track(later, b"l" * 16, 2, "late-2")
    seen = ids(later)
    os.kill(earlier.pid, signal.SIGCONT)

    rest = earlier.communicate(timeout=10)[0].split()
    assert rest[-1] == "lost"
    told = max([told, *(int(line) for line in rest[:-1])])  # said before it was frozen
    track(later, b"l" * 16, 3, "late-3")
    later.close()

    after = activation(data, Lockless())
    assert ids(after) == [*seen, "late-3"]
    assert [name for name in seen if name.startswith("early")][:told] == [
        f"early-{n}" for n in range(1, told + 1)
    ]
    after.close()


@pytest.mark.parametrize("attempt", ["track", "drain", "sql", "read"])
def test_of_two_activations_in_one_process_the_earlier_is_refused(data: Path, attempt: str) -> None:
    first = activation(data, Lockless())
    track(first, b"a" * 16, 1, "one")
    second = activation(data, Lockless())
    track(second, b"b" * 16, 1, "two")

    attempts = {
        "track": lambda: track(first, b"a" * 16, 2, "three"),
        "drain": first.drain,
        "sql": lambda: call(first, b"a" * 16, 2, Call(-1, "dau", [1], {}, False)),
        "read": lambda: call(first, b"a" * 16, 2, Call(-1, "active_users", [], {}, False)),
    }
    with pytest.raises(ActivationBroken):
        attempts[attempt]()
    assert ids(second) == ["one", "two"]
    second.close()


def test_what_a_thawed_host_writes_after_its_successor_fell_asleep_is_void(data: Path) -> None:
    first = activation(data, Lockless())
    track(first, b"a" * 16, 1, "one")
    second = activation(data, Lockless())
    track(second, b"b" * 16, 1, "two")
    second.close()  # so that no segment of its epoch is left

    with pytest.raises(ActivationBroken):
        call(first, b"a" * 16, 2, Call(-1, "track", ["E", {"pad": "x" * 30_000}], {}, False))

    third = activation(data, Lockless())
    assert ids(third) == ["one", "two"]
    third.close()
