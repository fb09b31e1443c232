"""The host of objects, without the Ray around it."""

from __future__ import annotations

import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from raydo.actors.claim import Claim
from raydo.actors.errand import errand
from raydo.actors.host import Host
from raydo.actors.line import Line
from raydo.actors.place import socket_folder, sweep_sockets
from raydo.actors.settings import Settings
from raydo.actors.site import alone
from raydo.pipelining.codec import pack, unpack
from raydo.pipelining.errors import DataInUse, Forbidden, InvalidArgument, Moved
from raydo.pipelining.frame import Call, Entry, Program, Reply, decode_answers, encode_envelope
from raydo.pipelining.noun import Noun

ACME = Noun("Jar", "acme")


def envelope(name: str, *args: object) -> bytes:
    program = Program((Call(-1, name, list(args), {}, False),), (0,)).encode()
    return encode_envelope([Entry(os.urandom(16), 1, 0, program)])


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data=tmp_path / "data", objects=("support.jar",))


async def assigned(host: Host, *nouns: Noun) -> Line:
    """Open a line to a host that was given these objects."""
    line = await Line.connect((await host.where()).address())
    for noun in nouns:
        await line.request(errand("assign", noun, parcel=None))
    return line


@pytest_asyncio.fixture
async def host(settings: Settings) -> AsyncIterator[Host]:
    host = Host(settings, alone(settings.data))
    yield host
    await host.close()
    sweep_sockets(settings.data)


async def test_a_host_answers_frames_at_the_socket_it_names(host: Host) -> None:
    line = await assigned(host, ACME)

    answer = await line.request(pack([*ACME, envelope("names")]))

    [only] = decode_answers(answer)
    assert Reply.decode(only.payload).results[0].value == []
    counts = unpack(await line.request(errand("counts", ACME)))
    assert (counts["envelopes"], counts["pid"]) == (1, os.getpid())
    await line.close()


async def test_a_host_opens_once(host: Host) -> None:
    assert await host.where() == await host.where()
    assert await host.health()


async def test_a_frame_for_somebody_else_is_sent_elsewhere(host: Host) -> None:
    line = await assigned(host, ACME)

    with pytest.raises(Moved, match="does not live in this process"):
        await line.request(pack(["Jar", "globex", envelope("names")]))
    await line.close()


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xc1",
        pack([1]),
        pack("x"),
        pack([1, 2, 3]),
        pack(["", "dance", {}]),
        errand("assign"),
    ],
)
async def test_a_payload_that_is_no_envelope_is_refused_and_the_host_lives(
    host: Host, payload: bytes
) -> None:
    line = await assigned(host, ACME)

    with pytest.raises(InvalidArgument):
        await line.request(payload)

    await line.request(pack([*ACME, envelope("names")]))
    await line.close()


async def test_a_host_may_not_open_a_folder_that_a_process_has_for_itself(
    host: Host, settings: Settings
) -> None:
    claim = Claim.alone(settings.data, "embedded")
    with pytest.raises(DataInUse):
        await host.where()

    claim.release()

    assert await host.where()


async def test_a_host_whose_objects_cannot_be_imported_says_so(tmp_path: Path) -> None:
    host = Host(Settings(data=tmp_path, objects=("no_such_module",)), alone(tmp_path))

    with pytest.raises(InvalidArgument, match="no_such_module"):
        await host.where()


async def test_a_closed_host_has_given_up_the_folder_and_its_socket(settings: Settings) -> None:
    host = Host(settings, alone(settings.data))
    path = Path((await host.where()).path)

    await host.close()

    assert not path.exists()
    Claim.alone(settings.data, "embedded").release()
    sweep_sockets(settings.data)


def test_the_folder_of_sockets_is_this_users_alone(tmp_path: Path) -> None:
    folder = socket_folder(tmp_path)

    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    folder.chmod(0o755)
    with pytest.raises(Forbidden):
        socket_folder(tmp_path)
    folder.chmod(0o700)
    sweep_sockets(tmp_path)


def test_a_link_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    folder = socket_folder(tmp_path)
    folder.rmdir()
    folder.symlink_to(tmp_path)

    with pytest.raises(Forbidden):
        socket_folder(tmp_path)
    folder.unlink()
