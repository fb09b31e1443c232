"""`raydo serve`: one process that listens at once, starts the runtime, and stops cleanly.

The socket is bound first, so a taken port is found before Ray has been started for nothing. The
first signal stops accepting, lets running requests end, and closes every activation; the second
ends the process on the spot, which loses nothing, since what was acknowledged is on disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import uvicorn
import uvloop
from rich.console import Console

from raydo.actors import logs
from raydo.actors.claim import token_path
from raydo.actors.costs import Prices
from raydo.actors.runtime import Served, serve_runtime
from raydo.actors.settings import Settings
from raydo.gateway.app import Gateway, create_app
from raydo.gateway.backend import Backend
from raydo.gateway.door import is_loopback
from raydo.gateway.keyring import Keyring
from raydo.pipelining.errors import Forbidden, InvalidArgument
from raydo.pipelining.limits import BODY_BYTES_MAX, REQUESTS_END_S, SHUTDOWN_S
from raydo.pipelining.noun import Noun
from raydo.pipelining.stub import make_stub

INTERRUPTED: Final = 130


@dataclass(frozen=True, slots=True)
class Plan:
    """What `raydo serve` was asked for."""

    settings: Settings
    host: str = "127.0.0.1"
    port: int = 8000
    embedded: bool = False
    domain: str | None = None
    keyed: bool = False
    prices: Prices = field(default_factory=Prices)


class Server(uvicorn.Server):
    """Leave signals to `Run`, which also has a runtime to stop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@dataclass(slots=True)
class Run:
    """One run of the server, from the bound socket to the closed runtime."""

    plan: Plan
    listener: socket.socket
    console: Console = field(default_factory=lambda: Console(stderr=True, highlight=False))
    stopping: bool = False

    async def __call__(self) -> None:
        """Serve until a signal arrives.

        Raises:
            RaydoError: the runtime could not start.
        """
        backend = Backend(self._open)
        server = self._server(backend)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._on_signal, server)
        opening = asyncio.create_task(self._start(backend, server))
        await server.serve(sockets=[self.listener])
        if not opening.done():
            opening.cancel()  # nothing has been taken yet, so there is nothing to wait for
            return
        opening.result()
        try:
            async with asyncio.timeout(SHUTDOWN_S):
                await backend.close()
        except TimeoutError:
            self.console.print(f"Not everything closed within {SHUTDOWN_S:.0f} s; it is on disk.")

    def _server(self, backend: Backend) -> Server:
        config = uvicorn.Config(
            self._app(backend),
            http="httptools",
            ws="websockets-sansio",
            ws_max_size=BODY_BYTES_MAX,
            ws_per_message_deflate=False,  # 300 KB a socket, for messages that are mostly short
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # nothing here depends on who is in between
            timeout_graceful_shutdown=REQUESTS_END_S,
        )
        return Server(config)

    def _app(self, backend: Backend) -> Gateway:
        plan = self.plan
        return create_app(
            backend,
            domain=plan.domain,
            keyed=plan.keyed,
            data=plan.settings.data,
            prices=plan.prices,
        )

    async def _open(self) -> Served:
        # A busy object's callers are told so, instead of waiting here where nothing bounds them.
        return await serve_runtime(
            self.plan.settings, embedded=self.plan.embedded, patient=False, default=False
        )

    async def _start(self, backend: Backend, server: Server) -> None:
        self.console.print(f"Listening on {self.url}, {self._waiting_for()}")
        try:
            served = await backend.open()
            first = await self._first_key(backend) if self.plan.keyed else None
        except BaseException:  # whatever it was, nothing will ever be served
            server.should_exit = True
            raise
        if not self.stopping:
            self._welcome(served, first)

    def _waiting_for(self) -> str:
        if self.plan.embedded:
            return "opening the data folder."
        return "starting Ray (some ten seconds)."

    async def _first_key(self, backend: Backend) -> Path | None:
        def keys(target: Noun) -> Any:
            stub: Any = make_stub(target.cls, target.id, backend.check())
            return stub.keys

        return await Keyring(keys).begin(self.plan.settings.data)

    def _welcome(self, served: Served, first_key: Path | None) -> None:
        dashboard = served.runtime.dashboard_url
        lines = [
            "[bold green]raydo is ready.[/]",
            f"  Page           {self.url}/",
            f"  API            {self.url}/docs",
            f"  Ray dashboard  {dashboard or self._no_dashboard()}",
            f"  Data           {self.plan.settings.data.resolve()}",
            "Ctrl-C stops it.",
        ]
        if dashboard:  # it shows nothing before it has been told
            token = token_path(self.plan.settings.data)
            lines.insert(4, f"                 asks for the token in {token.resolve()}")
        if first_key is not None:
            lines.insert(-1, f"  Server's key   in {first_key.resolve()}: keep it, delete the file")
        for line in lines:
            self.console.print(line, soft_wrap=True)

    def _no_dashboard(self) -> str:
        return "none: this runs without Ray" if self.plan.embedded else "none"

    def _on_signal(self, server: Server) -> None:
        if self.stopping:
            os._exit(INTERRUPTED)
        self.stopping = True
        self.console.print("Stopping: flushing and closing. Once more Ctrl-C ends it at once.")
        server.should_exit = True

    @property
    def url(self) -> str:
        """Where this server is reached, as a person would type it."""
        host, port = self.listener.getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve(plan: Plan) -> None:
    """Serve until a signal arrives.

    Raises:
        Forbidden: without keys the server may not be reached from other machines.
        RaydoError: the port is taken, or the runtime could not start.
    """
    # A console script has its own folder there instead; a user's objects lie where they started us.
    sys.path.insert(0, str(Path.cwd()))
    logs.use(plan.settings.log_format)
    with (
        bind(plan.host, plan.port, keyed=plan.keyed) as listener,
        asyncio.Runner(loop_factory=_loop) as runner,
    ):
        runner.run(Run(plan, listener)())


def _loop() -> asyncio.AbstractEventLoop:
    return uvloop.new_event_loop()


def bind(host: str, port: int, *, keyed: bool = False) -> socket.socket:
    """Take the address to listen on, which must be this machine's own where there are no keys.

    Raises:
        Forbidden: another address. InvalidArgument: unknown, or in use.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError, OverflowError):
        raise InvalidArgument(f"{host}:{port} is no address to listen on.") from None
    found.sort(key=lambda one: one[0] != socket.AF_INET)  # `localhost` is both; most expect IPv4
    family, _, _, _, address = found[0]
    if not keyed and not is_loopback(str(address[0])):
        raise Forbidden(
            f"Without API keys only this machine may reach the server, so not {host}: "
            "leave --host out, or ask for keys with --keys."
        )
    try:
        return socket.create_server(address[:2], family=family, backlog=2048)
    except OSError as error:
        raise InvalidArgument(
            f"{host}:{port} cannot be listened on ({error.strerror}); choose another with --port."
        ) from None
