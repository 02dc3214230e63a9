"""The command line inside the test's process: quick, and what escapes it is the test's error."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence

import pytest

from tests.conftest import environment_of
from weir.cli import main as weir_main
from weir.infra.settings import Settings


class Weir:
    """The command line, run in this process: an error that gets out of it is the test's."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, settings: Settings, *arguments: str, **environment: str) -> tuple[int, str, str]:
        """Run a verb; return its exit code and what it wrote to stdout and stderr."""
        for name, value in (environment_of(settings) | environment).items():
            self._monkeypatch.setenv(name, value)
        code = weir_main(list(arguments))
        return (code, *self._capsys.readouterr())

    def assert_refused(self, settings: Settings, *arguments: str, says: Sequence[str], **environment: str) -> None:
        """One line that says what, where and the fix, and exit code 2."""
        code, _, written = self(settings, *arguments, **environment)
        lines = [line for line in written.splitlines() if not line.startswith("{")]  # logs are JSON
        assert (code, len(lines)) == (2, 1), written
        assert [text for text in says if text not in lines[0]] == [], lines[0]


def run_in_process(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Weir]:
    """Give a test the command line, and the process its signal handlers back."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield Weir(monkeypatch, capsys)
    for number, handler in handlers.items():
        signal.signal(number, handler)
