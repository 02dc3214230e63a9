"""A taken port names the process that holds it, whichever server wanted it."""

from __future__ import annotations

import os
import socket

import pytest

from weir.inference.api.web.listening import bind
from weir.infra.settings import MonitoringSettings, Settings
from weir.schemas.errors import Refused
from weir.streaming.service import open_metrics_page


def test_the_api_and_the_metrics_page_name_who_holds_their_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Refused, match=rf"held by .*\(pid {os.getpid()}\); choose another with --port"):
            bind("127.0.0.1", port)
        with pytest.raises(Refused, match=rf"held by .*\(pid {os.getpid()}\); choose another with --metrics-port"):
            open_metrics_page(
                Settings(monitoring=MonitoringSettings(metrics_host="127.0.0.1", metrics_port=port)), None
            )
