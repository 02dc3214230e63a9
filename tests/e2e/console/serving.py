"""The console and the API of a world of twins behind their real HTTP servers, in one thread of the test's process."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import uvicorn

from tests.unit.console.world import ConsoleWorld
from weir.console.api import build_client
from weir.inference.api.web.listening import HOST, bind
from weir.inference.api.web.server import build_crowd, build_server


@contextmanager
def serving_console(world: ConsoleWorld) -> Iterator[str]:
    """Serve a world's API, and a console that asks it; yield the console's address."""
    with ExitStack() as bound:
        sockets = [bound.enter_context(bind(HOST, 0)) for _ in range(2)]
        client = build_client(_address(sockets[0]), "")
        servers = [build_server(app, build_crowd()) for app in (world.build_api(), world.build(client))]

        async def serve() -> None:
            await asyncio.gather(*map(_serve, servers, sockets))
            await client.aclose()

        thread = threading.Thread(target=asyncio.run, args=(serve(),))
        thread.start()
        try:
            yield _address(sockets[1])
        finally:
            world.feed.close()
            for server in servers:
                server.should_exit = True
            thread.join()


async def _serve(server: uvicorn.Server, listening: socket.socket) -> None:
    await server.serve(sockets=[listening])


def _address(listening: socket.socket) -> str:
    return f"http://{HOST}:{listening.getsockname()[1]}"
