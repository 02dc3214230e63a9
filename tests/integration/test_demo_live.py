"""``weir demo`` from an empty home to its summary, as ``make demo`` runs it, with its API asked meanwhile."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from weir.infra.embedded.ports import choose_ports, is_free
from weir.infra.embedded.stack import Stack

pytestmark = [pytest.mark.server, pytest.mark.long, pytest.mark.timeout(900)]


def log_in(url: str, key: str) -> str:
    """Log in as a person does; return the page that it leads to."""
    with httpx.Client(base_url=url, timeout=120, follow_redirects=True) as browser:
        form = browser.get("/login").text
        token = re.search(r'name="token" value="([0-9a-f]+)"', form)
        assert token is not None, form
        answer = browser.post("/login", data={"token": token[1], "key": key})
        assert answer.status_code == 200, answer.text
        return answer.text


def test_a_demo_decides_what_it_sends_and_leaves_nothing_running(tmp_path: Path) -> None:
    home, (port,) = tmp_path / "home", choose_ports(1)
    environment = {**os.environ, "WEIR_HOME": str(home), "WEIR_API__PORT": str(port), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "weir", "demo", "--seconds", "10", "--rate", "50", "--days", "70"]
    shown, asked = list[str](), list[str]()
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            if line.startswith("history:"):  # long before the API starts
                assert not is_free(port)
            if "live after" in line:
                assert httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=120).status_code == 200
            if found := re.search(r"the console is at (\S+), .* key (weir_\w+)", line):
                asked.append(log_in(*found.groups()))
            shown.append(line)
    text = "".join(shown)
    assert demo.returncode == 0, text
    assert len(asked) == 1
    assert "<h1>Queue" in asked[0]
    counts = dict(re.findall(r"^(events in|decided|dead letters) +([\d,]+)", text, re.MULTILINE))
    sent, decided, dead = (int(counts[name].replace(",", "")) for name in ("events in", "decided", "dead letters"))
    assert 300 < sent == decided + dead
    assert is_free(port)
    assert [status.pid for status in Stack(home).status()] == [None] * 3
