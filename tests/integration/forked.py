"""Modules that run as ``python -m`` runs them, in a fork of a process that has imported them: a start costs no seconds.

Of such a child, ``subprocess.Popen`` has what is here too. Starts from nothing are what the tests of the wheel, of the
readers' pages, of refused starts and of the upgrade are for.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.forkserver
import os
import random
import runpy
import signal
import subprocess
import sys
from functools import cache
from pathlib import Path

WARM = "tests.integration.warm"
_CONTEXT = multiprocessing.get_context("forkserver")


class Fork:
    """A child.

    Args:
        arguments: the module and what follows it on its command line.
        environment: all of it.
        stdout: file that what it prints is appended to.
        stderr: likewise; ``stdout`` may be given again.
    """

    def __init__(self, arguments: tuple[str, ...], environment: dict[str, str], stdout: Path, stderr: Path) -> None:
        _prepare()
        self.args = arguments
        self._process = _CONTEXT.Process(target=_run, args=(arguments, environment, stdout, stderr))
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if (code := self._process.exitcode) is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Program(subprocess.Popen[bytes]):
    """The same with an interpreter of its own, as a user starts it: for what is measured, or inherits descriptors."""

    def __init__(
        self,
        arguments: tuple[str, ...],
        environment: dict[str, str],
        stdout: Path,
        stderr: Path,
        *,
        pass_fds: tuple[int, ...] = (),
    ) -> None:
        command = [sys.executable, "-m", *arguments]
        with stdout.open("ab") as out, stderr.open("ab") as err:
            super().__init__(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
                pass_fds=pass_fds,
            )


@cache
def _prepare() -> None:
    """Let the fork server of this process be one that has everything imported, also where one was needed before."""
    multiprocessing.forkserver._forkserver._stop()  # type: ignore[attr-defined]  # as the standard library's tests do
    _CONTEXT.set_forkserver_preload([WARM])
    first = _CONTEXT.Process(target=_check_warm)  # the kernel may have to be compiled first: no test waits for that
    first.start()
    first.join()
    assert first.exitcode == 0


def _check_warm() -> None:
    """Fail where an import failed: the fork server is silent about it."""
    assert WARM in sys.modules


def _run(arguments: tuple[str, ...], environment: dict[str, str], stdout: Path, stderr: Path) -> None:
    os.setsid()
    for number, path in ((1, stdout), (2, stderr)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    os.environ.clear()
    os.environ.update(environment)
    random.seed()  # the back-off must not be everybody's
    sys.argv = list(arguments)
    runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
