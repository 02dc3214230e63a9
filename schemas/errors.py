"""The tree of errors. The class is the routing: dead letter, retry, stop, or refuse to start."""

from __future__ import annotations


class WeirError(Exception):
    """Base of every error this project raises on purpose."""


class PoisonRecord(WeirError):
    """A record that can never be processed as it is: it goes to the dead letter queue.

    Attributes:
        reason: stable machine-readable code, such as ``amount_out_of_range``.
        field: the offending field, or ``""`` when the record as a whole is at fault.
        hint: what the found value probably is, without a word of it; it ends the message.
        flags: what a command makes of it by its flags; ``describe_to_command`` adds it.
    """

    def __init__(self, reason: str, message: str, field: str = "", hint: str = "", *, flags: str = "") -> None:
        super().__init__(f"{message}; {hint}" if hint else message)
        self.reason = reason
        self.field = field
        self.hint = hint
        self.flags = flags


class Transient(WeirError):
    """A dependency is unreachable or slow: retried within a bound, then the process stops.

    Attributes:
        cause: stable machine-readable word: ``away``, or why a dependency that answers does not serve, such as
            ``full``.
    """

    def __init__(self, message: str = "", *, cause: str = "away") -> None:
        super().__init__(message)
        self.cause = cause


class Refused(WeirError):
    """A start that must not continue (wrong setting, port, model, topic). One line, the fix named, exit code 2.

    Attributes:
        flags: what a command makes of it by its flags, which who asks over HTTP has not; ``describe_to_command`` adds
            it.
    """

    def __init__(self, message: str = "", *, flags: str = "") -> None:
        super().__init__(message)
        self.flags = flags


class Damaged(WeirError):
    """What was read back is not what was written there: nothing of it may be believed."""


def describe_to_command(error: WeirError) -> str:
    """Return an error as a command says it, with what its flags can do.

    >>> describe_to_command(Refused("expected utf-8, found UTF-16; save it as utf-8", flags="read it with --encoding"))
    'expected utf-8, found UTF-16; save it as utf-8, or read it with --encoding'
    """
    flags = error.flags if isinstance(error, PoisonRecord | Refused) else ""
    return f"{error}, or {flags}" if flags else str(error)
