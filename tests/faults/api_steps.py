"""Steps of ``weir serve`` while it answers ``POST /v1/decide``: where a request stands when the process is killed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.faults.patch import replace
from weir.inference.api.decide.sender import EventSender, OnAnswer
from weir.inference.api.decide.stream_decisions import StreamDecisions
from weir.inference.api.decide.waiting import At, WaitingRequest, WaitingRequests

API_STEPS = ("publishing", "sent", "published", "found")


def report_api_steps(steps: Callable[[str], None]) -> None:
    """Report each request's steps.

    ``publishing`` (the client waits, nothing is sent), ``sent`` (the broker has not answered), ``published`` (the
    decision is waited for), ``found`` (the outcome is known, the client has no answer).
    """
    send, note, decide = EventSender.send, WaitingRequests.note_published, StreamDecisions.decide

    def send_between_steps(sender: EventSender, key: bytes, value: bytes, on_answer: OnAnswer) -> None:
        steps("publishing")
        send(sender, key, value, on_answer)
        steps("sent")

    def note_before_step(waiting: WaitingRequests, request: WaitingRequest, at: At) -> None:
        note(waiting, request, at)
        steps("published")

    async def decide_before_step(decisions: StreamDecisions, *event: Any, **named: Any) -> Any:
        outcome = await decide(decisions, *event, **named)
        steps("found")
        return outcome

    replace(EventSender, send=send_between_steps)
    replace(WaitingRequests, note_published=note_before_step)
    replace(StreamDecisions, decide=decide_before_step)
