"""Models for a process that serves: who chose which one, when and why, and taking one back.

It is a part of ``weir models``, for who has no command line when a model does harm: what was in force before is never
refused. MLflow's aliases follow with the next ``weir models sync``.
"""

from __future__ import annotations

from typing import Any

from weir.inference.published.act import ALIASES, NONE, Alias
from weir.inference.published.author import check_said
from weir.inference.published.bundles import find_previous
from weir.inference.published.opened import HISTORY_MAX, OpenPublisher, UnknownVersion, list_acts


class ModelsDesk:
    """The choices of models of a stream."""

    def __init__(self, opened: OpenPublisher) -> None:
        """Bind to what is published; other desks may share it."""
        self._opened = opened

    def list_choices(self) -> dict[str, Any]:
        """Return the newest acts about champion, shadow and canary, the newest first.

        Raises:
            Transient: the brokers did not answer in time.
        """
        with self._opened.use() as publisher:
            acts = [{"role": alias} | act for alias in ALIASES for act in list_acts(publisher, alias)]
        return {"history": sorted(acts, key=lambda act: -int(act["at_ms"]))[:HISTORY_MAX]}

    def take_back(self, role: Alias, version: str, *, who: str, why: str) -> dict[str, Any]:
        """End a canary or a shadow, or have the model decide that was the champion before.

        Args:
            role: that the model has.
            version: of the model, which has to be in force still: asked twice, it is not the one before by then.
            who: takes it back.
            why: for who reads the history.

        Raises:
            UnknownVersion: another model has the role, or none that was published.
            Refused: the model before does not fit the stream any more, or who or why is empty or too long.
            Transient: the brokers did not take it.
        """
        check_said(who, why)
        with self._opened.use() as publisher:
            publisher.who, publisher.why = who, why
            content = publisher.standing.content(role)
            now = publisher.log.version(role, content)
            if content == NONE or now != version:
                raise UnknownVersion(f"expected a {role} that was published and is in force, which is {now}")
            before = find_previous(publisher, role) if role == "champion" else NONE
            act = publisher.roll_back(role, before)
            return {"version": act.version, "action": act.action, "role": role}
