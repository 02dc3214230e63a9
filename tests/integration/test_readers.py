"""Each kind of reader's page is followed to the letter, next to a running deployment as `make demo` leaves it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import create_deployment
from tests.house.handbook import blocks
from tests.house.source import ROOT
from tests.integration.services import Services, log_of
from tests.unit.inference.bundles import link_champion, write_bundle
from weir.infra.children import child_environment
from weir.infra.home import stack_env_path
from weir.infra.settings import Settings

pytestmark = [pytest.mark.server, pytest.mark.verify, pytest.mark.timeout(600)]

SECONDS_MAX = 300
"""A page of a machine that does nothing else takes ten; commands that wait for an outcome must not wait for ever."""
PROGRAM = re.compile(r"`(\w+\.py)`, with [^\n]*\n\n```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PAGES = {
    "docs/readers/producer.md": "mine-1 mine-2 APPROVE",
    "docs/readers/consumer.md": "mine-1 mine-2 APPROVE",
    "docs/readers/analyst.md": "card_mine labels.csv published",
    "docs/readers/operator.md": "kafka redis registry transactions",
    "docs/where-to-look.md": "kafka registry transactions scorer",
    "docs/upgrading.md": "transactions champion",
    "README.md": "card_readme openapi kafka",
    "docs/readers/data-scientist.md": "pr_auc merchant_label_risk_30d",
}
"""What the commands of a page show; the first page sends what the others read."""
CHANGED = {"weir doctor ": "weir doctor || test $? = 1 ", "--cards 2000 --days 90": "--cards 400 --days 75"}
"""What the doctor finds is the machine's, and a test has less time than a reader."""


@dataclass(frozen=True)
class Place:
    """A folder as a checkout is: with an environment, a home, and services at work."""

    folder: Path
    api: str
    services: Services

    def follow(self, page: str) -> str:
        """Write the files of a page, run its commands as one script, and return what they print."""
        text = (ROOT / page).read_text()
        for name, body in PROGRAM.findall(text):
            (self.folder / name).write_text(body)
        script = "\n".join(blocks(text, "sh"))
        for found, here in {"localhost:8000": self.api, **CHANGED}.items():
            script = script.replace(found, here)
        return run(script, self.folder)


def run(script: str, folder: Path) -> str:
    """Run a script whose commands must all end well, with the environment's programs first on the path."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = child_environment({"PATH": path, "PYTHONPATH": str(ROOT)})
    done = subprocess.run(
        ["timeout", str(SECONDS_MAX), "bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout[-4_000:]}{done.stderr[-4_000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def place(stack: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("checkout")
    home = folder / ".weir"
    link_champion(home, write_bundle(home / "models" / "tiny-1"))
    for name in ("servers", "ports.json"):
        (home / name).symlink_to(stack.home / name)
    (home / "stack.env").write_text(stack_env_path(stack.home).read_text())
    settings = stack.model_copy(update={"home": home})
    create_deployment(settings)
    services = Services(settings, folder / "logs")
    try:
        services.start("process")
        services.start("score", "--with-index")
        ready = log_of(services.start("serve", "--port", "0", ready="serving http"))
        yield Place(folder, ready.partition("serving http://")[2].split()[0], services)
    finally:
        services.stop()


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_lead_to_what_it_promises(page: str, place: Place) -> None:
    shown = place.follow(page)
    for word in PAGES[page].split():
        assert word in shown
