"""What ``weir models`` takes from the archive: the newest decisions of the champion, and a place for its bundle."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.golden.shipped import bundle_folder
from weir.inference.bundle import load_bundle
from weir.infra.settings import Settings
from weir.models import ARCHIVE
from weir.schemas.errors import Refused
from weir.schemas.streams.payments import payments
from weir.training.gates.judge import SCORE_DIFFERENCE_MAX
from weir.training.gates.measure import reproduce


def test_the_champion_gives_the_logged_vectors_the_scores_that_were_recorded(built: Path) -> None:
    champion = load_bundle(bundle_folder(), stream=payments)
    logged = ARCHIVE.read_logged(Settings(home=built), champion.manifest)
    found = reproduce(champion, logged)
    assert found.rows > 100
    assert found.difference <= SCORE_DIFFERENCE_MAX
    drifted = replace(logged, scores=logged.scores + 0.001)
    assert reproduce(champion, drifted).difference > SCORE_DIFFERENCE_MAX


def test_a_model_that_decided_nothing_has_nothing_to_reproduce(built: Path, tmp_path: Path) -> None:
    champion = load_bundle(bundle_folder(), stream=payments)
    other = champion.manifest.model_copy(update={"version": "another"})
    assert len(ARCHIVE.read_logged(Settings(home=built), other).scores) == 0
    with pytest.raises(Refused, match="there is no archive of what was decided"):
        ARCHIVE.read_logged(Settings(home=tmp_path), champion.manifest)
    assert not ARCHIVE.keep(Settings(home=tmp_path), bundle_folder())
