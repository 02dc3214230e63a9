"""What a worker process is told: which loop to run, where it must break, which guard is switched off."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Orders:
    """Orders for one worker.

    Attributes:
        role: ``process``, ``run``, ``score`` (with the index next to it), ``index``, ``archive``, ``cases``,
            ``cut-over``, or ``weir`` for any command line.
        environment: the ``WEIR_`` variables of the deployment.
        step_log: file to which every step is appended, with its monotonic time.
        kill_at: ``step`` or ``step:n``: kill -9 itself at the n-th such step.
        stop_at: likewise, but SIGSTOP, at each of them.
        kill_after_seconds: kill -9 itself this long after its first step.
        quirks: names in ``quirks.QUIRKS``: a dependency that misbehaves inside this process.
        mutant: name in ``mutants.MUTANTS``: the guard that is switched off.
        redeclared: whether its feature declarations are others than everybody else's (``redeclared.py``).
        arguments: of the command line, for the role ``weir``.
    """

    role: str
    environment: dict[str, str]
    step_log: str
    log: str
    instance: int = 0
    kill_at: str = ""
    stop_at: tuple[str, ...] = ()
    kill_after_seconds: float | None = None
    quirks: tuple[str, ...] = ()
    mutant: str = ""
    redeclared: bool = False
    arguments: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        assert not isinstance(self.stop_at, str), "one step is a tuple of one; a text would be its letters"
