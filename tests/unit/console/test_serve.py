"""What a console refuses before it serves anybody."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from weir.console.serve import run_console
from weir.inference.api.web.listening import HOST, bind
from weir.infra.settings import load_settings
from weir.schemas.errors import Refused
from weir.schemas.project import ServedStreams
from weir.schemas.streams.payments import payments

SERVED = ServedStreams((payments,), payments.name)


def load(home: Path, **own: Any) -> Any:
    return load_settings({"WEIR_HOME": str(home), **{f"WEIR_CONSOLE__{name}": str(own[name]) for name in own}})


def test_another_address_without_https_is_refused_with_the_fix(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="WEIR_CONSOLE__TLS_CERTIFICATE"):
        run_console(load(tmp_path), SERVED, host="0.0.0.0", port=0)


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ({"API_URL": "http://api.example"}, "keys never travel unencrypted"),
        ({"API_URL": "ftp://127.0.0.1"}, "http:// or https://"),
        ({"API_URL": "https://api.example/v1"}, "no path"),
        ({"TLS_KEY": __file__}, "given together"),
        ({"IDLE_MINUTES": 0}, "greater than or equal to 1"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(tmp_path: Path, own: dict[str, Any], said: str) -> None:
    with pytest.raises(Refused, match=said):
        load(tmp_path, **own)


def test_a_port_that_is_taken_is_refused_with_the_consoles_own_setting(tmp_path: Path) -> None:
    with bind(HOST, 0) as taken, pytest.raises(Refused, match="WEIR_CONSOLE__PORT"):
        run_console(load(tmp_path), SERVED, port=taken.getsockname()[1])


@pytest.mark.parametrize("url", ["http://127.0.0.1:9000", "https://api.example/"])
def test_an_api_that_keys_may_travel_to_is_taken(tmp_path: Path, url: str) -> None:
    assert load(tmp_path, API_URL=url).console.api_url == url.rstrip("/")
