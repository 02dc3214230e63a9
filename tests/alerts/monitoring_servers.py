"""A real Prometheus and Alertmanager on the project's own files, and a receiver for what they send."""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests import binaries
from tests.house.source import ROOT
from weir.infra.children import Children, tail
from weir.infra.embedded.ports import choose_ports

MONITORING = ROOT / "monitoring"
PORTS = {"processor": 9101, "scorer": 9102, "index": 9103, "dlq-auto": 9104, "api": 8000}
"""Of the processes, as ``prometheus.yml`` has them."""
_OWN_PORTS = {"prometheus": 9090, "alertmanager": 9093, "receiver": 9095}
_READY_SECONDS = 60.0


@dataclass
class Receiver:
    """Takes webhooks; ``states`` holds the last that was said of each alert, by its labels."""

    states: dict[frozenset[tuple[str, str]], str] = field(default_factory=dict)

    def take(self, body: Mapping[str, Any]) -> None:
        for alert in body["alerts"]:
            self.states[frozenset(alert["labels"].items())] = alert["status"]

    def find(self, **labels: str) -> set[str]:
        """Return what was said last of each alert with these labels: ``firing``, ``resolved`` or both."""
        return {state for found, state in list(self.states.items()) if labels.items() <= dict(found).items()}

    def firing(self) -> set[str]:
        """Return the names of the alerts that fire now."""
        return {dict(found)["alertname"] for found, state in list(self.states.items()) if state == "firing"}


def choose_all_ports() -> dict[str, int]:
    """Return a free port for each of the fixed ones."""
    names = [*PORTS, *_OWN_PORTS]
    return dict(zip(names, choose_ports(len(names)), strict=True))


@contextmanager
def running_monitoring(folder: Path, ports: Mapping[str, int]) -> Iterator[Receiver]:
    """Run Prometheus and Alertmanager on the project's files, in which the ports alone are others."""
    for name in ("prometheus.yml", "alerts.yml", "alertmanager.yml"):
        text = (MONITORING / name).read_text()
        for server, port in (PORTS | _OWN_PORTS).items():
            text = text.replace(f"127.0.0.1:{port}", f"127.0.0.1:{ports[server]}")
        (folder / name).write_text(text)
    children = Children(folder / "logs")
    with _receiving(ports["receiver"]) as receiver:
        try:
            _start(children, folder, ports)
            yield receiver
        finally:
            children.stop()


def _start(children: Children, folder: Path, ports: Mapping[str, int]) -> None:
    alertmanager = [
        binaries.find("prometheus-alertmanager", "alertmanager"),
        f"--config.file={folder}/alertmanager.yml",
        f"--storage.path={folder}/alertmanager",
        f"--web.listen-address=127.0.0.1:{ports['alertmanager']}",
        "--cluster.listen-address=",
    ]
    prometheus = [
        binaries.find("prometheus"),
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/prometheus",
        f"--web.listen-address=127.0.0.1:{ports['prometheus']}",
    ]
    for name, command in (("alertmanager", alertmanager), ("prometheus", prometheus)):
        child = children.start(name, command)
        deadline = time.monotonic() + _READY_SECONDS
        while not _answers(f"http://127.0.0.1:{ports[name]}/-/ready"):
            assert child.process.poll() is None, tail(child)
            assert time.monotonic() < deadline, tail(child)
            time.sleep(0.1)


def targets_up(ports: Mapping[str, int]) -> bool:
    """Return whether Prometheus reaches every target."""
    url = f"http://127.0.0.1:{ports['prometheus']}/api/v1/targets?state=active"
    with urllib.request.urlopen(url, timeout=5) as answer:
        found = json.loads(answer.read())["data"]["activeTargets"]
    return len(found) == len(PORTS) + 2 and all(target["health"] == "up" for target in found)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@contextmanager
def _receiving(port: int) -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            receiver.take(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
