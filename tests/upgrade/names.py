"""Every name that a user of a release may have written down: ``python -m tests.upgrade.names`` prints them as JSON.

``names.json`` is what the release before printed. When ``RELEASE`` is moved on, its names are written there again.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import re
import sys
from pathlib import Path

from weir.cli import VERBS
from weir.inference.api.app import ApiParts, build_api
from weir.inference.api.stream_paths import StreamParts
from weir.infra.setting_names import declared_names
from weir.infra.settings import Settings
from weir.monitoring.metrics import CATALOGUE
from weir.schemas.contracts import TOPIC_KINDS, subject
from weir.schemas.placeholders import BUILT_IN
from weir.schemas.streams.payments import payments
from weir.streaming.kernels import shipped_kernel

KEPT = Path(__file__).parent / "names.json"
_GROUPS = re.compile(r"\b([a-z][a-z-]*(?: ?\| ?[a-z][a-z-]*)+)")
_CHOICES = re.compile(r"\{([a-z-]+(?:,[a-z-]+)*)\}")


def collect() -> dict[str, list[str]]:
    """Return the names of this code, by kind."""
    return {
        "commands": sorted(_commands()),
        "settings": sorted(declared_names(Settings)),
        "metrics": sorted(f"{spec.name} {' '.join(spec.labels)}".strip() for spec in CATALOGUE),
        "paths": sorted(_paths()),
        "subjects": sorted(subject(kind) for kind in TOPIC_KINDS),
        "topics": sorted(value for value in vars(Settings().topics).values() if isinstance(value, str)),
    }


def _commands() -> set[str]:
    """Return each command, its actions, and their flags, as their help names them."""
    found = set()
    for verb in VERBS:
        text = _help(verb)
        found |= _flags(verb, text)
        usage = text.split("\n\n")[0]
        actions = {name.strip() for group in _GROUPS.findall(usage) for name in group.split("|")}
        actions |= {name for group in _CHOICES.findall(usage) for name in group.split(",")}
        for action in sorted(actions):
            found |= _flags(f"{verb} {action}", _help(verb, action))
    return found


def _flags(command: str, text: str) -> set[str]:
    return {command} | {f"{command} {flag}" for flag in re.findall(r"(?<![\w-])--[a-z][a-z-]*", text)}


def _help(verb: str, *action: str) -> str:
    shown = io.StringIO()
    main = importlib.import_module(VERBS[verb][0]).main
    with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(io.StringIO()), contextlib.suppress(SystemExit):
        main([verb, *action, "--help"])
    return shown.getvalue()


def _paths() -> set[str]:
    # no part is asked for anything: the document names what there is
    served = StreamParts(shipped_kernel(), *[None] * 5)  # type: ignore[arg-type]
    parts = ApiParts([served], payments.name, None, {}, BUILT_IN)  # type: ignore[arg-type]
    document = build_api(parts).openapi()
    return {f"{method.upper()} {path}" for path, methods in document["paths"].items() for method in methods}


def main() -> int:
    """Print the names."""
    sys.stdout.write(json.dumps(collect(), indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
