"""A model of another program becomes a bundle that scores as it does, or is refused and leaves nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import lightgbm
import numpy as np
import pytest

from tests.payments import FEATURE_NAMES
from tests.unit.inference import test_bundle_exports as exports
from tests.unit.inference.bundles import BURST, build_graph, write_bundle
from weir.infra.settings import Settings
from weir.schemas.errors import Refused
from weir.training.choosing.imports import Imported, Wanted, import_model


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


def _import(settings: Settings, content: bytes, wanted: Wanted | None = None, name: str = "model.onnx") -> Imported:
    file = settings.home.parent / name
    file.write_bytes(content)
    return import_model(file, wanted or Wanted("mine", "1"), settings)


@pytest.mark.parametrize("export", [exports.plain, lambda: exports.by_ml(zipmap=False), exports.double])
def test_a_usual_export_is_imported_without_a_word_on_its_outputs(
    settings: Settings, export: Callable[[], bytes]
) -> None:
    made = _import(settings, export())
    assert (made.bundle.manifest.output_name, made.bundle.manifest.output_column) == ("probabilities", 1)
    assert (made.bundle.directory.name, made.rows >= 2_000, made.parity) == ("mine-1", True, None)


def test_trees_of_lightgbm_are_exported_and_held_to_their_source(settings: Settings) -> None:
    random = np.random.default_rng(3)
    rows = random.lognormal(0, 2, (2_000, 3))
    rows[random.random(rows.shape) < 0.2] = np.nan
    data = lightgbm.Dataset(rows, (rows[:, 0] > 2).astype(int), feature_name=list(FEATURE_NAMES[:3]))
    booster = lightgbm.train({"objective": "binary", "verbosity": -1, "num_threads": 1}, data, 10)
    made = _import(settings, booster.model_to_string().encode(), name="trees.txt")
    assert made.bundle.names == FEATURE_NAMES[:3]
    assert made.parity is not None
    assert made.parity < 1e-6
    found = made.bundle.score(rows.astype(np.float32))
    np.testing.assert_allclose(found, booster.predict(rows.astype(np.float32)), atol=1e-6)


def raw() -> bytes:
    return build_graph(FEATURE_NAMES, {BURST: 9.0}, last="Identity")


REFUSED = {
    "a zipmap": (lambda: exports.plain(zipmap=True), Wanted("mine", "1"), "a ZipMap; export with the option zipmap"),
    "no imputer": (lambda: exports.by_skl(exports.bare()), Wanted("mine", "1"), "NaN"),
    "another width": (lambda: build_graph(FEATURE_NAMES[:3], {}), Wanted("mine", "1"), r"expected input float32 \(N, "),
    "a constant": (lambda: build_graph(FEATURE_NAMES, {}), Wanted("mine", "1"), "expected scores that vary"),
    "the label": (exports.plain, Wanted("mine", "1", output="label"), "that is the label"),
    "no graph": (lambda: b"hello", Wanted("mine", "1"), "expected an ONNX graph, found another file"),
    "a way out": (exports.plain, Wanted("../../mine", "1"), "expected letters"),
    "raw scores": (raw, Wanted("mine", "1"), "raw scores"),
}


@pytest.mark.parametrize(("build", "wanted", "said"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_decide_is_refused_and_leaves_nothing(
    settings: Settings, build: Callable[[], bytes], wanted: Wanted, said: str
) -> None:
    with pytest.raises(Refused, match=said):
        _import(settings, build(), wanted)
    assert not settings.models_dir.exists() or list(settings.models_dir.iterdir()) == []


def test_a_pickle_is_not_opened(settings: Settings) -> None:
    with pytest.raises(Refused, match="a pickle, which runs code when it is read"):
        _import(settings, b"\x80\x04", name="model.pkl")


def test_a_bundle_of_another_host_is_copied_and_never_written_over(settings: Settings, tmp_path: Path) -> None:
    elsewhere = write_bundle(tmp_path / "tiny-7", version="7")
    made = import_model(elsewhere, Wanted("mine"), settings)
    assert made.bundle.directory == (settings.models_dir / "tiny-7").resolve()
    with pytest.raises(Refused, match="already there"):
        import_model(elsewhere, Wanted("mine"), settings)
