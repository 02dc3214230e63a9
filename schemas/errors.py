"""The tree of errors. The class is the routing: dead letter, retry, stop, or refuse to start."""

from __future__ import annotations


class WeirError(Exception):
    """Base of every error this project raises on purpose."""


class PoisonRecord(WeirError):
    """A record that can never be processed as it is: it goes to the dead letter queue.

    Attributes:
        reason: stable machine-readable code, such as ``amount_out_of_range``.
        field: the offending field, or ``""`` when the record as a whole is at fault.
    """

    def __init__(self, reason: str, message: str, field: str = "") -> None:
        super().__init__(message)
        self.reason = reason
        self.field = field


class Transient(WeirError):
    """A dependency is away or slow: retried within a bound, then the process stops."""


class Refused(WeirError):
    """A start that must not go on (wrong setting, port, model, topic). One line, the mend named, exit code 2."""
