"""What usual converters make of usual classifiers, brought as a bundle: it loads, or the message says how to export."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import onnx
import onnxmltools
import pytest
from onnx import TensorProto, helper
from onnxmltools.convert.common.data_types import FloatTensorType as MlFloatTensorType
from skl2onnx import to_onnx
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from tests.payments import FEATURE_NAMES
from tests.unit.inference.bundles import BURST, build_graph, write_bundle
from weir.inference.bundle import Manifest, load_bundle
from weir.schemas.errors import Refused
from weir.schemas.streams.payments import payments

WIDTH = len(FEATURE_NAMES)
INPUT = "features"


@cache
def data() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(7)
    rows = random.normal(size=(400, WIDTH)).astype(np.float32)
    return rows, (rows[:, 0] + rows[:, 1] > 0.5).astype(np.int64)


@cache
def logistic() -> Any:
    return make_pipeline(SimpleImputer(), LogisticRegression()).fit(*data())


@cache
def forest() -> Any:
    return make_pipeline(SimpleImputer(), RandomForestClassifier(5, random_state=7)).fit(*data())


@cache
def trees() -> Any:
    return RandomForestClassifier(5, random_state=7).fit(*data())


@cache
def bare() -> Any:
    return LogisticRegression().fit(*data())


@cache
def boosted() -> Any:
    rows, labels = data()
    return lightgbm.LGBMClassifier(n_estimators=5, verbose=-1, n_jobs=1).fit(rows, labels)


def by_skl(model: Any, *, zipmap: Any = False, rows: int | None = None, kind: Any = FloatTensorType) -> bytes:
    initial = [(INPUT, kind([rows, WIDTH]))]
    options = {id(model): {"zipmap": zipmap}}
    converted = to_onnx(model, initial_types=initial, options=options, target_opset={"": 17, "ai.onnx.ml": 3})
    return bytes(converted.SerializeToString())


def by_ml(*, zipmap: bool) -> bytes:
    initial = [(INPUT, MlFloatTensorType([None, WIDTH]))]
    converted = onnxmltools.convert_lightgbm(boosted(), initial_types=initial, zipmap=zipmap, target_opset=15)
    return bytes(converted.SerializeToString())


def flat(model: bytes) -> bytes:
    """Append what people write by hand to have shape (N,): the second column alone."""
    graph = onnx.load_from_string(model)
    graph.graph.initializer.append(helper.make_tensor("one", TensorProto.INT64, [], [1]))
    graph.graph.node.append(helper.make_node("Gather", ["probabilities", "one"], ["score"], axis=1))
    del graph.graph.output[:]
    graph.graph.output.append(helper.make_tensor_value_info("score", TensorProto.FLOAT, [None]))
    return bytes(graph.SerializeToString())


def plain(**options: Any) -> bytes:
    return by_skl(logistic(), **options)


def double() -> bytes:
    return by_skl(trees(), kind=DoubleTensorType)


FIRST = {"output_column": 1}
ACCEPTED: dict[str, tuple[Callable[[], Any], Callable[[], bytes], dict[str, Any]]] = {
    "logistic, (N, 2)": (logistic, plain, FIRST),
    "forest, (N, 2)": (forest, lambda: by_skl(forest()), FIRST),
    "lightgbm, (N, 2)": (boosted, lambda: by_ml(zipmap=False), FIRST),
    "a column each": (logistic, lambda: plain(zipmap="columns"), {"output_name": "i1"}),
    "float64": (trees, double, FIRST | {"dtype": "float64"}),
    "(N,)": (logistic, lambda: flat(plain()), {"output_name": "score"}),
    "(N,), its only column named": (logistic, lambda: flat(plain()), {"output_name": "score", "output_column": 0}),
}
REFUSED: dict[str, tuple[Callable[[], bytes], dict[str, Any], str]] = {
    "(N, 2), no column named": (plain, {}, r"found 2 columns, \(N, 2\); name the one .* as output_column"),
    "lightgbm, no column named": (lambda: by_ml(zipmap=False), {}, r"found 2 columns, \(N, 2\)"),
    "a column that is not there": (plain, {"output_column": 2}, "expected column 2 .* found 2 column"),
    "a zipmap": (
        lambda: plain(zipmap=True),
        {"output_name": "output_probability"},
        r"found seq\(map\(int64,tensor\(float\)\)\), a ZipMap; export with the option zipmap=False",
    ),
    "the label": (plain, {"output_name": "label"}, "that is the label: name the probabilities"),
    "no such output": (plain, {"output_name": "score"}, "found label tensor.*; name one of them"),
    "one row": (lambda: plain(rows=1), FIRST, r"found \(1, [0-9]+\); export with None"),
    "ten rows": (lambda: plain(rows=10), FIRST, r"found \(10, [0-9]+\); export with None"),
    "no imputer": (lambda: by_skl(bare()), FIRST, "missing features .NaN., found NaN; .* an imputer"),
    "float64, not said": (double, FIRST, r"expected input float32 .* found tensor\(double\)"),
    "float32, said to be 64": (plain, FIRST | {"dtype": "float64"}, "expected input float64"),
}


@pytest.mark.parametrize(("source", "export", "manifest"), ACCEPTED.values(), ids=ACCEPTED)
def test_a_usual_export_scores_as_its_model_does(
    tmp_path: Path, source: Callable[[], Any], export: Callable[[], bytes], manifest: dict[str, Any]
) -> None:
    named = {"output_name": "probabilities"} | manifest
    bundle = load_bundle(write_bundle(tmp_path / "own", model=export(), **named), stream=payments)
    rows, _ = data()
    found = bundle.score(rows)
    assert found.dtype == np.float32
    assert found.shape == (len(rows),)
    np.testing.assert_allclose(found, source().predict_proba(rows)[:, 1], atol=1e-5)
    # a linear model may add up in another order for one row than for many, so the last bits are not held to be equal
    np.testing.assert_allclose(bundle.score(rows[:1]), found[:1], rtol=1e-6)


@pytest.mark.parametrize(("export", "manifest", "said"), REFUSED.values(), ids=REFUSED)
def test_another_export_is_refused_with_what_was_found_and_how_to_export(
    tmp_path: Path, export: Callable[[], bytes], manifest: dict[str, Any], said: str
) -> None:
    named = {"output_name": "probabilities"} | manifest
    with pytest.raises(Refused, match=said) as refused:
        load_bundle(write_bundle(tmp_path / "own", model=export(), **named), stream=payments)
    assert "docs/models.md" in str(refused.value)
    assert "weir train" not in str(refused.value)
    assert "nan, nan" not in str(refused.value)


def test_raw_scores_are_refused_as_such(tmp_path: Path) -> None:
    graph = build_graph(FEATURE_NAMES, {BURST: 9.0}, last="Identity")
    with pytest.raises(Refused, match="export probabilities, not raw scores"):
        load_bundle(write_bundle(tmp_path / "own", model=graph), stream=payments)


DOCS = Path(__file__).parents[3] / "docs" / "models.md"


def test_the_page_of_the_manifest_names_its_fields_and_which_are_required() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (yes|no) \|", DOCS.read_text(), re.MULTILINE)
    assert dict(rows) == {name: "yes" if field.is_required() else "no" for name, field in Manifest.model_fields.items()}


def test_the_pages_own_example_writes_a_bundle_that_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    examples = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
    (example,) = [each for each in examples if "manifest.json" in each]
    (tmp_path / "model.onnx").write_bytes(plain())
    monkeypatch.chdir(tmp_path)
    exec(compile(example, str(DOCS), "exec"), {})
    assert load_bundle(tmp_path, stream=payments).manifest.name == "mine"
