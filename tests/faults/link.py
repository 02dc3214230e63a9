"""A TCP link that can be stalled, cut and led elsewhere: one address for clients while servers change behind it."""

from __future__ import annotations

import contextlib
import socket
import threading

_CHUNK_BYTES = 65_536


class Link:
    """Forwards every connection to a port of this host.

    Args:
        target: port that new connections are led to; may be changed at any time, and what stands is not moved.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self._flowing = threading.Event()
        self._flowing.set()
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, name=f"link-{self.port}", daemon=True).start()

    def stall(self) -> None:
        """Hold back every byte from now on; connections stay open, and nobody is told."""
        self._flowing.clear()

    def cut(self) -> None:
        """End every connection, and what was held back with it; new ones flow."""
        with self._lock:
            for end in self._sockets:
                _shut(end)
            self._sockets.clear()
            self._flowing.set()

    def close(self) -> None:
        """Take no more connections and end those there are."""
        _shut(self._listening)
        self._listening.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listening.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self.target), timeout=2)
            except OSError:  # nobody is there: as a closed port, but one step later
                near.close()
                continue
            far.settimeout(None)
            with self._lock:
                self._sockets |= {near, far}
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=(one, other), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_CHUNK_BYTES):
                self._flowing.wait()
                sink.sendall(data)
        with self._lock:
            self._sockets -= {source, sink}
        # the reader of one direction ends both; each socket is closed by the pump that reads from it
        _shut(sink)
        source.close()


def _shut(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
