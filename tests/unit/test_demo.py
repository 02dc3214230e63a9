from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest

import demo
from infra.settings import load_settings, stack_env_path
from schemas.errors import Refused


class Servers:
    """A stack that only notes what is asked of it."""

    def __init__(self, *_: object, **__: object) -> None:
        self.asked: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *_: self.asked.append(name)


def test_servers_that_were_started_by_hand_are_left_running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    servers = Servers()
    monkeypatch.setattr(demo, "Stack", lambda *_, **__: servers)
    stack_env_path(tmp_path).write_text("")
    story = demo.Demo(load_settings({"WEIR_HOME": str(tmp_path)}), argparse.Namespace(seed=7))
    with pytest.raises(Refused, match="started by hand"):
        story.run()
    story.close()
    assert servers.asked == []


def test_servers_that_a_demo_started_end_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    servers = Servers()
    monkeypatch.setattr(demo, "Stack", lambda *_, **__: servers)
    story = demo.Demo(load_settings({"WEIR_HOME": str(tmp_path)}), argparse.Namespace(seed=7))
    story._fresh_servers()
    servers.asked.clear()
    story.close()
    assert servers.asked == ["stop"]
