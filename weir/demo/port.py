"""The port of a demo's API: held from the first second on, and handed to the API that starts minutes later."""

from __future__ import annotations

import socket

from weir.inference.api.web.listening import HOST, bind
from weir.infra.children import Children
from weir.infra.embedded.ports import choose_ports, describe_listener, is_free
from weir.infra.settings import ApiSettings
from weir.schemas.errors import Refused


class ApiPort:
    """A socket that listens for nobody yet, so that no other program takes the port meanwhile."""

    def __init__(self) -> None:
        """Hold nothing yet."""
        self._listening: socket.socket | None = None

    def hold(self, api: ApiSettings) -> None:
        """Take the port.

        Raises:
            Refused: another program has it; the fix names a free one.
        """
        if api.port and not is_free(api.port):
            raise Refused(
                f"port {api.port} for the API is taken by {describe_listener(api.port)}; "
                f"`WEIR_API__PORT={choose_ports(1)[0]} make demo` takes another"
            )
        self._listening = bind(HOST, api.port)

    def start(self, children: Children, command: list[str]) -> None:
        """Start the API on it. Ours is closed: should the API end, a request is refused and does not wait for ever."""
        assert self._listening is not None
        descriptor = self._listening.fileno()
        children.start("serve", [*command, "--fd", str(descriptor)], descriptors=[descriptor])
        self.close()

    def close(self) -> None:
        """Let it go."""
        if self._listening is not None:
            self._listening.close()
            self._listening = None
