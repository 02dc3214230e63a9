"""``python -m tests.bench.flamegraphs``: where the processor and the scorer spend their time on a backlog, as pictures.

``py-spy`` of the peers' environment samples each from outside, threads apart, while it works off the shared input.
What a picture says of this machine's folders is taken out: it is to be read elsewhere.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from contextlib import closing
from pathlib import Path

from tests.bench.figures import NothingMeasured
from tests.bench.kafka_log import Growth
from tests.bench.lab import PEERS, Deployment, Lab, Processes, open_lab
from tests.bench.rounds import end_cleanly_on_sigterm, say
from tests.bench.sizes import FULL
from tests.bench.warm import ensure_model, keep_processed
from weir.infra.children import Child

SAMPLES_PER_SECOND = 200
SECONDS = 6
BYTES_MAX = 500_000
_ROOT = Path(__file__).parents[2]
_START_SECONDS_MAX = 60.0
_POLL_SECONDS = 0.05
_TITLE = re.compile(r">[^<]*py-spy record[^<]*<")
"""It would be the command, with a folder that is gone."""
_FOLDERS = re.compile(r"(?:/[\w.@+-]+)+/((?:site-packages|python3\.\d+)/)")


def without_folders(picture: str, root: str) -> str:
    """Return a picture whose frames name files by their place in the project or in a package.

    >>> without_folders("run (/home/me/weir/streaming/cli.py:9); f (/usr/lib/python3.11/json/x.py:1)", "/home/me/weir")
    'run (streaming/cli.py:9); f (json/x.py:1)'
    """
    return _FOLDERS.sub("", picture.replace(f"{root}/", ""))


def draw(lab: Lab, folder: Path) -> list[Path]:
    """Sample both stages and return the pictures."""
    ensure_model(lab)
    rows = keep_processed(lab).settings.topics.features
    processor = lab.deployment("flame-process")
    scorer = lab.deployment("flame-score", WEIR_TOPICS__FEATURES=rows)
    return [
        _sample(lab, processor, "process", processor.settings.topics.features, folder / "flame-processor.svg"),
        _sample(lab, scorer, "score", scorer.settings.topics.decisions, folder / "flame-scorer.svg"),
    ]


def _sample(lab: Lab, deployment: Deployment, verb: str, output: str, target: Path) -> Path:
    raw = lab.home / f"{verb}.svg"
    with lab.processes(deployment) as processes:
        child = processes.weir(verb)
        _await_first(lab, output, processes)
        processes.run(_start_sampling(processes, child, raw, deployment.name))
    picture = _TITLE.sub(f">weir {verb}<", without_folders(raw.read_text(), str(_ROOT)))
    if len(picture) > BYTES_MAX or "<svg" not in picture:
        raise NothingMeasured(f"expected a picture of at most {BYTES_MAX} bytes, found {len(picture)}")
    target.write_text(picture)
    return target


def _start_sampling(processes: Processes, child: Child, raw: Path, title: str) -> Child:
    command = [str(PEERS.parent / "py-spy"), "record", "--pid", str(child.process.pid), "--output", str(raw)]
    flags = ["--rate", str(SAMPLES_PER_SECOND), "--duration", str(SECONDS), "--threads", "--nonblocking"]
    return processes.children.start(f"py-spy-{title}", [*command, *flags])


def _await_first(lab: Lab, output: str, processes: Processes) -> None:
    """Wait for the first output: what comes before it is start-up."""
    deadline = time.monotonic() + _START_SECONDS_MAX
    with closing(Growth(lab.settings, output)) as growth:
        while not growth.count():
            processes.check()
            if time.monotonic() > deadline:
                raise NothingMeasured(f"expected records in {output}, found none")
            time.sleep(_POLL_SECONDS)


def main(argv: list[str]) -> int:
    """Draw both. Exit codes: 0 drawn, 1 not."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.flamegraphs", description=__doc__)
    parser.add_argument("--out", type=Path, default=_ROOT / "docs" / "results", metavar="DIR")
    given = parser.parse_args(argv)
    with open_lab(FULL) as lab:
        lab.prepare()
        for path in draw(lab, given.out):
            say(f"{path.name}: {path.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    end_cleanly_on_sigterm()
    sys.exit(main(sys.argv[1:]))
