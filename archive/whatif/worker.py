"""Tries rules and lists on the past on behalf of another process, which must not be held up: in a child of its own.

A study takes up to seconds of CPU for a million decisions. The child is started for one trial and ends with it, and is
ended when it takes too long.
"""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Final

from weir.archive.child import Child
from weir.archive.whatif.gate import build_trial, run_gates
from weir.inference.published.act import Kind
from weir.inference.published.cli import Tried
from weir.inference.published.gate import Trial
from weir.inference.published.lists_change import read_changed
from weir.inference.rule_sets import read_rules
from weir.infra.settings import load_settings
from weir.schemas.printable import to_json
from weir.schemas.project import find_stream

SECONDS_MAX: Final = 600.0


def try_text(stream: str, kind: Kind, text: str, before: str, *, seconds_max: float = SECONDS_MAX) -> Trial:
    """Try what is to be published, in a child that ends with this process.

    Args:
        stream: name of the stream.
        kind: ``rules`` or ``lists``.
        text: without a fault; see ``TryText``.
        before: likewise.
        seconds_max: of a trial, without the start of the child.

    Raises:
        WeirError: what is archived cannot be read, it took too long, or the child ended.
    """
    with closing(Child("trial", run_trial, waiting_max=1, seconds_max=seconds_max)) as child:
        answer = child.ask(stream, kind, text, before)
    assert answer is not None, "a trial always answers"
    found = json.loads(answer)
    return Trial(found["note"], tuple((name, said) for name, said in found["failed"]), found["figures"])


def run_trial(stream: str, kind: Kind, text: str, before: str) -> bytes:
    """Return what a trial came to, as JSON; called in the child."""
    settings = load_settings()
    settings = settings.of_stream(find_stream(Path.cwd(), stream))
    tried: tuple[Tried, ...]
    if kind == "lists":  # read here: they may be millions of entries
        tried = read_changed(settings, text, before)
    else:
        tried = tuple(read_rules(each, settings.stream, kind) for each in (text, before))
    trial = build_trial(*run_gates(settings, *tried))
    return to_json(asdict(trial)).encode()  # plain numbers, whatever the study counts with
