"""Tiny model bundles: a logistic graph over two features, written the way training writes them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.payments import DECLARATIONS_HASH, FEATURE_NAMES

BURST, AMOUNT = "card_event_count_5m", "transaction_amount"


def build_graph(
    names: tuple[str, ...],
    weights: dict[str, float],
    *,
    bias: float = -4.0,
    output: str = "score",
    width: int | None = None,
    last: str = "Sigmoid",
) -> bytes:
    """P = sigmoid(bias + sum of weight x value); a missing value counts as 0, inside the graph."""
    size = len(names) if width is None else width
    vector = np.array([[weights.get(name, 0.0)] for name in names][:size], dtype=np.float32)
    nodes = [
        helper.make_node("IsNaN", ["features"], ["missing"]),
        helper.make_node("Where", ["missing", "zero", "features"], ["filled"]),
        helper.make_node("MatMul", ["filled", "weights"], ["product"]),
        helper.make_node("Add", ["product", "bias"], ["raw"]),
        helper.make_node(last, ["raw"], [output]),
    ]
    constants = [
        numpy_helper.from_array(vector, "weights"),
        numpy_helper.from_array(np.array([bias], dtype=np.float32), "bias"),
        numpy_helper.from_array(np.array(0, dtype=np.float32), "zero"),
    ]
    given = helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, size])
    made = helper.make_tensor_value_info(output, TensorProto.FLOAT, [None, 1])
    graph = helper.make_graph(nodes, "tiny", [given], [made], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def write_bundle(
    directory: Path,
    *,
    names: tuple[str, ...] = FEATURE_NAMES,
    weights: dict[str, float] | None = None,
    model: bytes | None = None,
    **changes: Any,
) -> Path:
    """Write a bundle whose score rises with the card's burst; ``changes`` replace manifest fields."""
    directory.mkdir(parents=True, exist_ok=True)
    graph = build_graph(names, {BURST: 1.0} if weights is None else weights) if model is None else model
    manifest: dict[str, Any] = {
        "name": "tiny",
        "version": "1",
        "created_time_ms": 1_700_000_000_000,
        "model_sha256": hashlib.sha256(graph).hexdigest(),
        "declarations_hash": DECLARATIONS_HASH,
        "features": list(names),
        "input_name": "features",
        "output_name": "score",
        "dtype": "float32",
        "thresholds": {"review": 0.5, "decline": 0.9},
        "training_interval_ms": [0, 1],
        "metrics": {"pr_auc": 0.5},
        "reference": [1.0 if name == BURST else 0.0 for name in names],
        "parity_max_abs_diff": 0.0,
    }
    (directory / "model.onnx").write_bytes(graph)
    (directory / "manifest.json").write_text(json.dumps(manifest | changes))
    return directory


def link_champion(home: Path, bundle: Path) -> None:
    """Point the champion link at a bundle, in one step."""
    link_to(bundle, home / "models" / "champion")


def link_to(bundle: Path, champion: Path) -> None:
    """Point a link at a bundle, in one step."""
    champion.parent.mkdir(parents=True, exist_ok=True)
    fresh = champion.with_suffix(".new")
    fresh.symlink_to(bundle)
    fresh.replace(champion)
