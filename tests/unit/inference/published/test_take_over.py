"""What decides takes over what is published between two batches, and falls back to file, declaration and bundle."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.unit.inference.bundles import link_champion, write_bundle
from weir.inference.bundle import Bundle, load_bundle
from weir.inference.champion import POLL_SECONDS, Champion
from weir.inference.core.lists import Lists
from weir.inference.core.thresholds import parse_thresholds
from weir.inference.published.content import Standing
from weir.inference.rule_sets import rules_of
from weir.infra.settings import Settings
from weir.monitoring.metrics import MODEL_INFO
from weir.schemas.errors import Refused
from weir.schemas.streams.payments import payments


class _Following:
    """Follows by hand."""

    def __init__(self) -> None:
        self.standing = Standing()
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


class _World:
    """A champion of two files, with a clock and what is published."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.now = 100.0
        self.following = _Following()
        link_champion(home, write_bundle(home / "models" / "tiny-1"))
        self.champion = Champion(Settings(home=home), monotonic=lambda: self.now, published=self.following)

    def poll(self) -> bool:
        self.now += POLL_SECONDS
        return self.champion.poll()

    def write_lists(self, version: str, card: str) -> None:
        document = {"version": version, "block": {"card": [card]}}
        (self.home / "lists.json").write_text(json.dumps(document))


@pytest.fixture
def world(tmp_path: Path) -> _World:
    return _World(tmp_path)


def _published_lists(version: str) -> Lists:
    return Lists(version, block={"card": {"published"}})


def test_with_nothing_published_the_version_is_that_of_declaration_and_file(world: _World) -> None:
    assert (world.champion.rules_version, world.champion.rules) == ("1", rules_of(payments))
    assert world.champion.thresholds is None
    world.write_lists("may", "a")
    assert world.poll()
    assert world.champion.rules_version == "1+lists-may"


def test_what_is_published_is_taken_over_at_the_next_batch_and_not_before(world: _World) -> None:
    table = parse_thresholds({"review": 0.1, "decline": 0.2}, (), "cut")
    world.following.standing = Standing().put("thresholds", "c" * 64, table)
    assert world.champion.thresholds is None
    assert world.champion.poll(), "it waits for the clock of the files"
    assert world.champion.thresholds is table
    assert world.champion.rules_version == "1+thresholds-cut"
    assert not world.champion.poll()


def test_published_lists_stand_before_the_file_until_they_are_rolled_back(world: _World) -> None:
    world.following.standing = Standing().put("lists", "a" * 64, _published_lists("pub"))
    world.champion.poll()
    world.write_lists("file", "in-file")
    world.poll()
    assert world.champion.rules_version == "1+lists-pub"
    assert world.champion.lists.block["card"] == {"published"}
    world.following.standing = world.following.standing.put("lists", "none", None)
    world.champion.poll()
    assert world.champion.rules_version == "1+lists-file"
    assert world.champion.lists.block["card"] == {"in-file"}


def test_a_new_bundle_leaves_lists_of_both_sources_as_they_are(world: _World) -> None:
    world.write_lists("file", "in-file")
    world.poll()
    world.following.standing = Standing().put("lists", "a" * 64, _published_lists("pub"))
    world.champion.poll()
    link_champion(world.home, write_bundle(world.home / "models" / "tiny-2", version="2"))
    assert world.poll()
    assert (world.champion.bundle.manifest.version, world.champion.lists.version) == ("2", "pub")
    world.following.standing = Standing()
    world.champion.poll()
    assert world.champion.lists.version == "file"


def test_published_lists_do_not_stand_for_a_bundle_that_is_missing(tmp_path: Path) -> None:
    following = _Following()
    following.standing = Standing().put("lists", "a" * 64, _published_lists("pub"))
    champion = Champion(Settings(home=tmp_path), required=False, published=following)
    champion.poll()
    with pytest.raises(Refused, match="expected manifest"):
        _ = champion.lists
    champion.close()
    assert following.closed == 1


def _model(home: Path, version: str) -> Bundle:
    return load_bundle(write_bundle(home / "models" / f"tiny-{version}", version=version), stream=payments)


def test_a_published_champion_stands_before_the_link_until_it_is_rolled_back(world: _World) -> None:
    world.following.standing = Standing().put("champion", "c" * 64, _model(world.home, "2"))
    assert world.champion.bundle.manifest.version == "1"
    assert world.champion.poll()
    assert world.champion.bundle.manifest.version == "2"
    link_champion(world.home, write_bundle(world.home / "models" / "tiny-3", version="3"))
    world.poll()
    assert world.champion.bundle.manifest.version == "2"
    world.following.standing = world.following.standing.put("champion", "none", None)
    world.champion.poll()
    assert world.champion.bundle.manifest.version == "3"


def test_the_metric_names_the_model_that_decides_and_no_other(world: _World) -> None:
    def named() -> set[str]:
        return {labels[1] for labels in MODEL_INFO._metrics if labels[1].startswith("told")}

    world.following.standing = Standing().put("champion", "c" * 64, _model(world.home, "told-2"))
    world.champion.poll()
    link_champion(world.home, write_bundle(world.home / "models" / "tiny-3", version="told-3"))
    world.poll()
    assert named() == {"told-2"}
    world.following.standing = Standing()
    world.champion.poll()
    assert named() == {"told-3"}


def test_a_published_champion_decides_where_there_is_no_link(tmp_path: Path) -> None:
    following = _Following()
    champion = Champion(Settings(home=tmp_path), required=False, published=following)
    with pytest.raises(Refused, match="expected manifest"):
        _ = champion.bundle
    following.standing = Standing().put("champion", "c" * 64, _model(tmp_path, "2"))
    assert champion.poll()
    assert (champion.bundle.manifest.version, champion.missing) == ("2", "")
    assert champion.lists == Lists()


def test_a_shadow_that_decides_is_not_scored_twice(world: _World) -> None:
    assert world.champion.shadow is None
    world.following.standing = Standing().put("shadow", "s" * 64, _model(world.home, "2"))
    world.champion.poll()
    assert world.champion.shadow is world.following.standing.shadow
    world.following.standing = world.following.standing.put("champion", "s" * 64, _model(world.home, "2"))
    world.champion.poll()
    assert (world.champion.bundle.manifest.version, world.champion.shadow) == ("2", None)


def test_a_score_is_cut_in_its_own_width_in_a_segment_too() -> None:
    """0.9 as a double is not the 0.9 that a model says."""
    document = {"review": 0.5, "decline": 0.9, "by": "channel", "segments": {"POS": {"review": 0.5, "decline": 0.9}}}
    cut = parse_thresholds(document, ("channel",)).of_rows(["POS", "ECOM"])
    assert (np.float32(0.9) >= np.asarray(cut.decline)).tolist() == [True, True]
