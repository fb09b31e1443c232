"""Frames over a Unix socket, and what a hostile peer can do to them: nothing."""

from __future__ import annotations

import asyncio
import contextlib
import struct
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raydo.actors.line import Line
from raydo.actors.listener import Listener
from raydo.actors.wire import ANSWER, ERROR, HELLO, MORE, REQUEST, Message, Reader
from raydo.pipelining.errors import (
    ConnectionLost,
    InvalidArgument,
    ObjectFailed,
    Overloaded,
    TooLarge,
)
from raydo.pipelining.limits import (
    HELLO_BYTES_MAX,
    SOCKET_PATH_BYTES_MAX,
    WIRE_BYTES_MAX,
    WIRE_REQUESTS_MAX,
)

pytestmark = pytest.mark.loops

SECRET = b"a secret of the whole cluster's!"
HEADER = struct.Struct("!IBQ")


def frame(kind: int, id_: int, payload: bytes = b"") -> bytes:
    return HEADER.pack(len(payload), kind, id_) + payload


class Echo:
    """Answer with the payload; a few payloads ask for something else."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []
        self.gate = asyncio.Event()
        self.more: list[Callable[[bytes], None]] = []

    async def __call__(self, payload: bytes, more: Callable[[bytes], None]) -> bytes:
        self.seen.append(payload)
        match payload:
            case b"wait":
                await self.gate.wait()
            case b"overloaded":
                raise Overloaded("Too many wait.", retry_after_s=2)
            case b"bug":
                raise ZeroDivisionError("ours")
            case b"huge":
                return b"x" * (WIRE_BYTES_MAX + 1)
            case b"stream":
                self.more.append(more)
        return payload


@pytest.fixture
def path() -> Any:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / "socket"


@pytest.fixture
async def echo(server: Listener) -> AsyncIterator[Echo]:
    assert isinstance(server.handle, Echo)
    yield server.handle
    server.handle.gate.set()


@pytest.fixture
async def server(path: Path) -> AsyncIterator[Listener]:
    server = Listener(path, Echo(), host="127.0.0.1", secret=SECRET)
    await server.open()
    yield server
    await server.close()


@pytest.fixture(params=[None, SECRET], ids=["near", "far"])
async def line(server: Listener, request: pytest.FixtureRequest) -> AsyncIterator[Line]:
    """A line to the server, from its own machine or as from another."""
    line = await Line.connect(server.sockets.address(request.param))
    yield line
    await line.close()


async def test_a_request_brings_its_answer(line: Line) -> None:
    assert await line.request(b"hello") == b"hello"
    assert await line.request(b"") == b""


async def test_a_slow_request_does_not_hold_up_the_next(line: Line, echo: Echo) -> None:
    slow = asyncio.create_task(line.request(b"wait"))

    assert await line.request(b"quick") == b"quick"
    assert not slow.done()

    echo.gate.set()
    assert await slow == b"wait"


async def test_many_requests_at_once_each_get_their_own_answer(line: Line) -> None:
    payloads = [b"%d" % index for index in range(3 * WIRE_REQUESTS_MAX)]

    assert await asyncio.gather(*map(line.request, payloads)) == payloads


async def test_a_message_of_many_megabytes_arrives_whole(line: Line) -> None:
    payload = bytes(range(256)) * (1 << 15)

    assert await asyncio.gather(*(line.request(payload) for _ in range(3))) == [payload] * 3


async def test_an_error_arrives_as_itself(line: Line) -> None:
    with pytest.raises(Overloaded, match="Too many wait") as caught:
        await line.request(b"overloaded")
    assert caught.value.retry_after_s == 2

    with pytest.raises(ObjectFailed, match="ZeroDivisionError: ours"):
        await line.request(b"bug")


async def test_an_oversized_message_is_refused_at_either_end_and_the_line_lives(
    line: Line, echo: Echo
) -> None:
    with pytest.raises(TooLarge):
        await line.request(b"x" * (WIRE_BYTES_MAX + 1))
    with pytest.raises(TooLarge):
        await line.request(b"huge")

    assert await line.request(b"hello") == b"hello"
    assert echo.seen == [b"huge", b"hello"]


async def test_messages_after_the_answer_reach_the_one_who_asked(line: Line, echo: Echo) -> None:
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    assert await line.request(b"stream", heard.put_nowait) == b"stream"
    echo.more[0](b"one")
    echo.more[0](b"two")

    assert [await heard.get(), await heard.get()] == [b"one", b"two"]


async def test_nobody_listening_is_a_lost_connection(path: Path) -> None:
    with pytest.raises(ConnectionLost, match="No host listens"):
        await Line.connect(path)


async def test_a_closed_line_refuses_what_is_under_way_and_what_comes(line: Line) -> None:
    slow = asyncio.create_task(line.request(b"wait"))
    await line.request(b"hello")

    await line.close()

    with pytest.raises(ConnectionLost):
        await slow
    with pytest.raises(ConnectionLost):
        await line.request(b"hello")


async def test_a_caller_who_gives_up_leaves_the_line_to_the_others(line: Line, echo: Echo) -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(line.request(b"wait"), 0.01)
    echo.gate.set()

    assert await line.request(b"hello") == b"hello"


async def test_closing_the_server_finishes_what_is_under_way(path: Path) -> None:
    echo = Echo()
    server = Listener(path, echo)
    await server.open()
    line = await Line.connect(path)
    slow = asyncio.create_task(line.request(b"wait"))
    await line.request(b"hello")

    closing = asyncio.create_task(server.close())
    await asyncio.sleep(0)
    echo.gate.set()
    await closing

    assert await slow == b"wait"
    assert not path.exists()
    await line.lost.wait()


async def test_a_socket_that_a_killed_host_left_behind_is_replaced(path: Path) -> None:
    path.write_text("left behind")
    server = Listener(path, Echo())

    await server.open()

    line = await Line.connect(path)
    assert await line.request(b"hello") == b"hello"
    await line.close()
    await server.close()


async def test_a_path_too_long_for_a_socket_says_what_to_do() -> None:
    server = Listener(Path("/" + "x" * SOCKET_PATH_BYTES_MAX), Echo())

    with pytest.raises(InvalidArgument, match="TMPDIR"):
        await server.open()


@pytest.mark.parametrize(
    "bytes_sent",
    [
        HEADER.pack(WIRE_BYTES_MAX + 1, REQUEST, 1),
        HEADER.pack(2**32 - 1, REQUEST, 1),
        frame(ANSWER, 1),
        frame(ERROR, 1),
        frame(MORE, 1),
        frame(255, 1),
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        frame(REQUEST, 7, b"wait") + frame(REQUEST, 7, b"wait"),
    ],
)
async def test_a_hostile_caller_loses_its_connection_and_nobody_else_does(
    path: Path, line: Line, bytes_sent: bytes
) -> None:
    reader, writer = await asyncio.open_unix_connection(str(path))

    writer.write(bytes_sent)

    # Unread bytes at the other end may turn its end of file into a reset.
    with contextlib.suppress(ConnectionResetError):
        assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()
    assert await line.request(b"hello") == b"hello"


@pytest.mark.parametrize(
    "bytes_sent",
    [
        frame(REQUEST, 1, b"hello"),
        frame(HELLO, 0, SECRET[:-1]) + frame(REQUEST, 1, b"hello"),
        frame(HELLO, 0, b"") + frame(REQUEST, 1, b"hello"),
        frame(HELLO, 0, SECRET + b"x" * HELLO_BYTES_MAX),
        frame(HELLO, 0, SECRET) + frame(HELLO, 0, SECRET),
    ],
)
async def test_a_caller_from_elsewhere_without_the_secret_is_not_heard(
    server: Listener, echo: Echo, bytes_sent: bytes
) -> None:
    reader, writer = await asyncio.open_connection(server.sockets.host, server.sockets.port)

    writer.write(bytes_sent)

    with contextlib.suppress(ConnectionResetError):
        assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()
    assert echo.seen == []


async def test_with_the_secret_what_follows_in_the_same_breath_is_heard(server: Listener) -> None:
    reader, writer = await asyncio.open_connection(server.sockets.host, server.sockets.port)

    writer.write(frame(HELLO, 0, SECRET) + frame(REQUEST, 1, b"hello"))

    expected = frame(ANSWER, 1, b"hello")
    assert await asyncio.wait_for(reader.readexactly(len(expected)), 5) == expected
    writer.close()


async def test_a_caller_from_elsewhere_who_says_nothing_is_let_go(
    server: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raydo.actors.listener.HELLO_S_MAX", 0.01)
    reader, writer = await asyncio.open_connection(server.sockets.host, server.sockets.port)

    with contextlib.suppress(ConnectionResetError):
        assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()


async def test_without_a_secret_no_port_is_opened(path: Path) -> None:
    server = Listener(path, Echo(), host="127.0.0.1")
    await server.open()
    assert (server.sockets.host, server.sockets.port) == ("", 0)
    await server.close()


async def test_an_unfinished_frame_is_waited_for_and_dropped_with_its_connection(
    path: Path, line: Line, echo: Echo
) -> None:
    _, writer = await asyncio.open_unix_connection(str(path))

    writer.write(frame(REQUEST, 1, b"half of this")[:-4])
    await writer.drain()
    writer.close()

    assert await line.request(b"hello") == b"hello"
    assert echo.seen == [b"hello"]


async def test_a_host_that_speaks_nonsense_is_a_lost_connection(path: Path) -> None:
    async def nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(frame(REQUEST, 1))
        await writer.drain()
        await reader.read()
        writer.close()

    server = await asyncio.start_unix_server(nonsense, str(path))
    line = await Line.connect(path)

    with pytest.raises(ConnectionLost):
        await line.request(b"hello")
    server.close()
    await server.wait_closed()


async def test_a_caller_who_never_reads_is_not_read_from_either(path: Path, echo: Echo) -> None:
    _, writer = await asyncio.open_unix_connection(str(path), limit=1024)
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    payload = b"x" * (1 << 20)

    async def send_for_ever() -> None:
        for id_ in range(1, 1_000):
            writer.write(frame(REQUEST, id_, payload))
            await writer.drain()

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(send_for_ever(), 0.3)
    assert len(echo.seen) < 200
    writer.transport.abort()


MESSAGES = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2**64 - 1), st.binary()))


@given(MESSAGES, st.lists(st.integers(1, 40)))
def test_messages_survive_any_cut_of_the_stream(
    messages: list[tuple[int, int, bytes]], cuts: list[int]
) -> None:
    stream = b"".join(frame(*message) for message in messages)
    reader = Reader(frozenset({0, 1, 2, 3}))

    found: list[Message] = []
    for cut in cuts:
        found += reader.feed(stream[:cut])
        stream = stream[cut:]
    found += reader.feed(stream)

    assert found == messages


@given(st.binary())
def test_no_bytes_do_more_than_be_refused(data: bytes) -> None:
    reader = Reader(frozenset({REQUEST}), bytes_max=64)
    try:
        for message in reader.feed(data):
            assert message.kind == REQUEST
            assert len(message.payload) <= 64
    except InvalidArgument:
        pass
