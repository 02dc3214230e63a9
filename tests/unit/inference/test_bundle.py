from concurrent.futures import Executor
from pathlib import Path

import numpy as np
import pytest

from tests.payments import FEATURE_NAMES
from tests.unit.inference.bundles import AMOUNT, BURST, build_graph, link_champion, write_bundle
from weir.inference import graph
from weir.inference.bundle import Bundle, load_bundle, load_lists
from weir.inference.champion import POLL_SECONDS, Champion
from weir.inference.graph import SHARED_ROWS
from weir.infra.settings import Settings
from weir.schemas.errors import Refused
from weir.schemas.streams.payments import payments


def _rows(*bursts: float) -> np.ndarray:
    rows = np.zeros((len(bursts), len(FEATURE_NAMES)), dtype=np.float32)
    rows[:, FEATURE_NAMES.index(BURST)] = bursts
    return rows


def test_a_bundle_scores_rows_by_the_output_of_that_name(tmp_path: Path) -> None:
    bundle = load_bundle(write_bundle(tmp_path / "b"), stream=payments)
    scores = bundle.score(_rows(0, 4, 8))
    assert scores.dtype == np.float32
    assert scores == pytest.approx([0.017986, 0.5, 0.982014], abs=1e-5)


def test_a_missing_feature_reaches_the_graph_as_missing(tmp_path: Path) -> None:
    bundle = load_bundle(write_bundle(tmp_path / "b"), stream=payments)
    assert bundle.score(_rows(np.nan)) == pytest.approx(bundle.score(_rows(0)))


def test_no_rows_are_scored_without_asking_the_graph(tmp_path: Path) -> None:
    assert load_bundle(write_bundle(tmp_path / "b"), stream=payments).score(_rows()).shape == (0,)


@pytest.mark.parametrize("rows", [SHARED_ROWS, SHARED_ROWS + 1])
def test_a_large_batch_is_scored_as_its_rows_are(tmp_path: Path, rows: int) -> None:
    bundle = load_bundle(write_bundle(tmp_path / "b"), stream=payments)
    drawn = _rows(*np.random.default_rng(7).uniform(0, 12, rows))
    one_by_one = [bundle.score(drawn[at : at + 1]) for at in range(rows)]
    np.testing.assert_array_equal(bundle.score(drawn), np.concatenate(one_by_one))


@pytest.mark.parametrize("failing", [0, SHARED_ROWS - 1])
def test_a_row_that_fails_in_either_half_of_a_large_batch_is_the_only_one(tmp_path: Path, failing: int) -> None:
    bursts = np.ones(SHARED_ROWS, np.float32)
    bursts[failing] = -1
    scores = _bundle_over(tmp_path, _FailingSession()).score(_rows(*bursts))
    assert np.flatnonzero(np.isnan(scores)).tolist() == [failing]


@pytest.mark.parametrize("name", ["model.onnx", "manifest.json"])
def test_a_bundle_without_one_of_its_files_is_refused(tmp_path: Path, name: str) -> None:
    (write_bundle(tmp_path / "b") / name).unlink()
    with pytest.raises(Refused, match=f"expected {name}, found none; train one"):
        load_bundle(tmp_path / "b", stream=payments)


def test_a_model_with_another_sha256_is_refused(tmp_path: Path) -> None:
    write_bundle(tmp_path / "b")
    with (tmp_path / "b" / "model.onnx").open("ab") as model:
        model.write(b"x")
    with pytest.raises(Refused, match="sha256"):
        load_bundle(tmp_path / "b", stream=payments)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"declarations_hash": "0" * 16}, "trained on declarations 0000"),
        ({"features": [*FEATURE_NAMES[:-1], "no_such"]}, "not declared"),
        ({"features": [*FEATURE_NAMES[:-1], FEATURE_NAMES[0]]}, "twice"),
        ({"reference": [0.0]}, "reference values, found 1"),
        ({"thresholds": {"review": 0.9, "decline": 0.5}}, "review threshold below"),
        ({"thresholds": {"review": 0.9}}, "thresholds.decline"),
        ({"input_name": "x"}, "one float32 input x"),
        ({"output_name": "label"}, "float32 output label"),
        ({"dtype": "float64"}, "float64"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused_in_one_line(tmp_path: Path, changes: dict, said: str) -> None:
    write_bundle(tmp_path / "b", **changes)
    with pytest.raises(Refused) as refused:
        load_bundle(tmp_path / "b", stream=payments)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_graph_of_another_width_is_refused(tmp_path: Path) -> None:
    write_bundle(tmp_path / "b", model=build_graph(FEATURE_NAMES, {}, width=5))
    with pytest.raises(Refused, match="expected input float32"):
        load_bundle(tmp_path / "b", stream=payments)


def test_bytes_that_are_no_graph_are_refused(tmp_path: Path) -> None:
    write_bundle(tmp_path / "b", model=b"not a graph")
    with pytest.raises(Refused, match="cannot be loaded"):
        load_bundle(tmp_path / "b", stream=payments)


def test_a_manifest_that_is_no_json_is_refused(tmp_path: Path) -> None:
    (write_bundle(tmp_path / "b") / "manifest.json").write_text("{")
    with pytest.raises(Refused, match=r"manifest.json at \$"):
        load_bundle(tmp_path / "b", stream=payments)


class _Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def pass_poll(self) -> None:
        self.now += POLL_SECONDS


def _champion(home: Path, clock: _Clock) -> Champion:
    link_champion(home, write_bundle(home / "models" / "tiny-1"))
    return Champion(Settings(home=home), monotonic=clock)


def test_a_new_champion_is_taken_over_at_the_next_poll(tmp_path: Path) -> None:
    clock = _Clock()
    champion = _champion(tmp_path, clock)
    link_champion(tmp_path, write_bundle(tmp_path / "models" / "tiny-2", version="2"))
    assert not champion.poll()
    clock.pass_poll()
    assert champion.poll()
    assert champion.bundle.manifest.version == "2"


def test_a_broken_new_champion_leaves_the_old_one_in_force(tmp_path: Path) -> None:
    clock = _Clock()
    champion = _champion(tmp_path, clock)
    link_champion(tmp_path, write_bundle(tmp_path / "models" / "tiny-2", version="2", model=b"broken"))
    clock.pass_poll()
    assert not champion.poll()
    assert champion.bundle.manifest.version == "1"
    assert champion.bundle.score(_rows(4)) == pytest.approx([0.5])


def test_a_champion_that_is_mended_after_being_refused_is_taken_over(tmp_path: Path) -> None:
    clock = _Clock()
    champion = _champion(tmp_path, clock)
    link_champion(tmp_path, write_bundle(tmp_path / "models" / "tiny-2", model=b"broken"))
    clock.pass_poll()
    champion.poll()
    write_bundle(tmp_path / "models" / "tiny-2", version="2b", weights={AMOUNT: 1.0})
    clock.pass_poll()
    assert champion.poll()
    assert champion.bundle.manifest.version == "2b"


def test_a_champion_that_vanishes_leaves_the_loaded_one_in_force(tmp_path: Path) -> None:
    clock = _Clock()
    champion = _champion(tmp_path, clock)
    (tmp_path / "models" / "champion").unlink()
    clock.pass_poll()
    assert not champion.poll()
    assert champion.bundle.manifest.version == "1"


def test_a_start_without_a_champion_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="weir train"):
        Champion(Settings(home=tmp_path))


def test_new_lists_are_taken_over_and_broken_ones_are_not(tmp_path: Path) -> None:
    clock = _Clock()
    champion = _champion(tmp_path, clock)
    (tmp_path / "lists.json").write_text('{"version": "a", "block": {"ip": ["203.0.113.7"]}}')
    clock.pass_poll()
    assert champion.poll()
    (tmp_path / "lists.json").write_text('{"block": {"planet": ["mars"]}}')
    clock.pass_poll()
    assert not champion.poll()
    assert champion.lists.version == "a"


@pytest.mark.parametrize("text", ["[]", "{", '{"allow": []}', '{"allow": {"card": [1]}}', '{"allow": {"card": "c"}}'])
def test_a_lists_file_of_another_shape_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "lists.json").write_text(text)
    with pytest.raises(Refused, match="lists"):
        load_lists(Settings(home=tmp_path))


class _FailingSession:
    """A runtime that fails on any batch with a negative burst in it, as a whole."""

    def __init__(self, width: int = 1) -> None:
        self._width = width

    def run(self, outputs: list[str], given: dict[str, np.ndarray]) -> list[np.ndarray]:
        assert outputs == ["score"]
        bursts = given["features"][:, FEATURE_NAMES.index(BURST)]
        if (bursts < 0).any():
            raise RuntimeError("the graph failed")
        return [np.repeat(bursts[:, None] / 10, self._width, axis=1)]


def _bundle_over(tmp_path: Path, session: _FailingSession) -> Bundle:
    manifest = load_bundle(write_bundle(tmp_path / "b"), stream=payments).manifest
    return Bundle(manifest, session, tmp_path, payments)


def test_one_row_that_the_graph_fails_on_does_not_take_the_others_with_it(tmp_path: Path) -> None:
    scores = _bundle_over(tmp_path, _FailingSession()).score(_rows(1, -1, 2))
    np.testing.assert_array_equal(scores, np.array([0.1, np.nan, 0.2], np.float32))


def test_an_output_with_two_numbers_a_row_is_no_score(tmp_path: Path) -> None:
    assert np.isnan(_bundle_over(tmp_path, _FailingSession(width=2)).score(_rows(1, 2))).all()


def test_a_graph_that_leaves_zero_to_one_on_the_typical_row_is_refused_before_use(tmp_path: Path) -> None:
    write_bundle(tmp_path / "b", model=build_graph(FEATURE_NAMES, {BURST: 3.0}, bias=2.0, last="Relu"))
    with pytest.raises(Refused, match=r"expected a score in \[0, 1\]"):
        load_bundle(tmp_path / "b", stream=payments)


def test_who_scores_on_several_threads_is_not_held_up_by_the_one_that_helps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = load_bundle(write_bundle(tmp_path / "b"), stream=payments)
    drawn = _rows(*np.random.default_rng(7).uniform(0, 12, SHARED_ROWS))
    shared = bundle.score(drawn)

    helper, asked = graph._helper, list[int]()

    def ask() -> Executor:
        asked.append(1)
        return helper()

    monkeypatch.setattr(graph, "_helper", ask)
    with graph._HELPER_IS_FREE:  # as held by a call on another thread
        np.testing.assert_array_equal(bundle.score(drawn), shared)
    assert asked == []
    np.testing.assert_array_equal(bundle.score(drawn), shared)
    assert asked == [1]
