"""The model of the kept decisions: sums of small integers in sixty-fourths, so no machine rounds them otherwise."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

WEIGHTS = {
    "card_event_count_5m": 12 / 64,
    "card_event_count_1h": 2 / 64,
    "card_refund_count_1d": 4 / 64,
    "card_merchant_new_30d": 6 / 64,
    "device_event_count_1h": 1 / 64,
    "ip_event_count_5m": 1 / 64,
    "transaction_is_declined": 10 / 64,
    "transaction_is_online": 8 / 64,
}
BIAS = -8 / 64


def write(folder: Path, names: tuple[str, ...], declarations_hash: str) -> None:
    """Write the bundle; a score above 1 is left as it is, so that such a row is decided without one."""
    write_graph(folder, _build_graph(names), names, declarations_hash, name="golden")


def write_graph(folder: Path, graph: bytes, names: tuple[str, ...], declarations_hash: str, *, name: str) -> None:
    """Write a bundle of a graph from ``features`` to ``score``, whose manifest says nothing of how it was made."""
    folder.mkdir(parents=True, exist_ok=True)
    manifest = {
        "name": name, "version": "1", "created_time_ms": 1_750_000_000_000,
        "model_sha256": hashlib.sha256(graph).hexdigest(), "declarations_hash": declarations_hash,
        "features": list(names), "input_name": "features", "output_name": "score", "dtype": "float32",
        "thresholds": {"review": 0.375, "decline": 0.625}, "training_interval_ms": [0, 1], "metrics": {"pr_auc": 0.5},
        "reference": [1.0 if each.startswith("card_event_count") else 0.0 for each in names],
        "parity_max_abs_diff": 0.0,
    }  # fmt: skip
    (folder / "model.onnx").write_bytes(graph)
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")


def _build_graph(names: tuple[str, ...]) -> bytes:
    vector = np.array([[WEIGHTS.get(name, 0.0)] for name in names], np.float32)
    nodes = [
        helper.make_node("IsNaN", ["features"], ["missing"]),
        helper.make_node("Where", ["missing", "zero", "features"], ["filled"]),
        helper.make_node("MatMul", ["filled", "weights"], ["product"]),
        helper.make_node("Add", ["product", "bias"], ["raw"]),
        helper.make_node("Max", ["raw", "zero"], ["score"]),
    ]
    constants = [
        numpy_helper.from_array(vector, "weights"),
        numpy_helper.from_array(np.array([BIAS], np.float32), "bias"),
        numpy_helper.from_array(np.array(0, np.float32), "zero"),
    ]
    given = helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, len(names)])
    made = helper.make_tensor_value_info("score", TensorProto.FLOAT, [None, 1])
    graph = helper.make_graph(nodes, "golden", [given], [made], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())
