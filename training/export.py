"""Writes LightGBM trees as an ONNX graph that gives the same score to every float32 row, missing values included.

The graph is a ``TreeEnsembleRegressor`` and a sigmoid, so there is one output, it is P(fraud), and there is no label
that could be read in its place. Two details decide whether it is the same model:

- LightGBM compares float32 inputs with float64 thresholds, ONNX with float32 ones. Rounding a threshold to the nearest
  float32 can move it past an input; rounding it down cannot: for float32 x, x <= t if and only if x <= floor32(t).
- NaN takes the node's default branch where LightGBM saw missing values in training, and counts as 0 where it did not.

A general converter gets the first one wrong for thresholds between two neighbouring float32 values, which is why this
one exists; it is tested equal to ``onnxmltools`` elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from weir.schemas.errors import WeirError

_FLOAT32 = np.finfo(np.float32)
INPUT_NAME = "features"
OUTPUT_NAME = "score"
_OPSET, _ML_OPSET, _IR_VERSION = 17, 3, 8
"""Old enough for every runtime of the last years; nothing newer is used."""


def build_onnx(booster: Any, *, metadata: dict[str, str]) -> Any:
    """Convert a fitted binary LightGBM booster.

    Args:
        booster: ``lightgbm.Booster`` with the objective ``binary`` and numeric splits.
        metadata: text stored in the model file, for a reader that has no manifest.

    Returns:
        ``onnx.ModelProto``: input ``features`` float32 (N, n_features), output ``score`` float32 (N, 1).

    Raises:
        WeirError: the booster uses something this export does not know.
    """
    dump = booster.dump_model(num_iteration=booster.best_iteration or None)
    if not str(dump["objective"]).startswith("binary sigmoid:1") or dump["num_tree_per_iteration"] != 1:
        raise WeirError(f"export: expected the objective binary sigmoid:1, found {dump['objective']}")
    attributes = _build_attributes(dump["tree_info"])
    nodes = [
        # the sigmoid is a node of its own: ONNX Runtime ignores post_transform="LOGISTIC" on a regressor
        helper.make_node(
            "TreeEnsembleRegressor", [INPUT_NAME], ["raw"], domain="ai.onnx.ml", n_targets=1, **attributes
        ),
        helper.make_node("Sigmoid", ["raw"], [OUTPUT_NAME]),
    ]
    return finish_graph(nodes, len(dump["feature_names"]), metadata)


def finish_graph(nodes: Sequence[Any], columns: int, metadata: dict[str, str], constants: Sequence[Any] = ()) -> Any:
    """Return nodes as a model from ``INPUT_NAME`` to ``OUTPUT_NAME``, checked.

    Args:
        nodes: in the order in which they are computed.
        columns: of the input.
        metadata: text stored in the model file.
        constants: tensors that the nodes name.
    """
    features = helper.make_tensor_value_info(INPUT_NAME, TensorProto.FLOAT, [None, columns])
    score = helper.make_tensor_value_info(OUTPUT_NAME, TensorProto.FLOAT, [None, 1])
    graph = helper.make_graph(nodes, "weir", [features], [score], initializer=list(constants))
    opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid("ai.onnx.ml", _ML_OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION, producer_name="weir")
    helper.set_model_props(model, metadata)
    onnx.checker.check_model(model)
    return model


def round_down_float32(value: float) -> float:
    """Return the largest float32 that is not above ``value``.

    >>> round_down_float32(0.1) <= 0.1
    True
    >>> round_down_float32(0.5)
    0.5
    """
    nearest = np.float32(np.clip(value, _FLOAT32.min, _FLOAT32.max))  # "all but missing" is a split at 1.8e308
    return float(nearest if float(nearest) <= value else np.nextafter(nearest, np.float32(-np.inf)))


def _build_attributes(trees: list[dict[str, Any]]) -> dict[str, Any]:
    attributes: dict[str, list[Any]] = {name: [] for name in (*_NODE_ATTRIBUTES, *_LEAF_ATTRIBUTES)}
    for tree_id, tree in enumerate(trees):
        for node_id, (node, children) in enumerate(_walk(tree["tree_structure"])):
            row = _node_row(node, children)
            for name, value in zip(_NODE_ATTRIBUTES, (tree_id, node_id, *row), strict=True):
                attributes[name].append(value)
            if not children:
                for name, value in zip(_LEAF_ATTRIBUTES, (tree_id, node_id, 0, node["leaf_value"]), strict=True):
                    attributes[name].append(value)
    return attributes


_NODE_ATTRIBUTES = (
    "nodes_treeids",
    "nodes_nodeids",
    "nodes_modes",
    "nodes_featureids",
    "nodes_values",
    "nodes_truenodeids",
    "nodes_falsenodeids",
    "nodes_missing_value_tracks_true",
)
_LEAF_ATTRIBUTES = ("target_treeids", "target_nodeids", "target_ids", "target_weights")


def _walk(root: dict[str, Any]) -> Iterator[tuple[dict[str, Any], tuple[int, ...]]]:
    """Yield each node with the ids of its children; ids are positions in this order, the root first."""
    queue = [root]
    for node in queue:  # grows while it is walked: breadth first without recursion
        if "leaf_value" in node:
            yield node, ()
            continue
        queue += [node["left_child"], node["right_child"]]
        yield node, (len(queue) - 2, len(queue) - 1)


def _node_row(node: dict[str, Any], children: tuple[int, ...]) -> tuple[Any, ...]:
    if not children:
        return ("LEAF", 0, 0.0, 0, 0, 0)
    if node["decision_type"] != "<=":
        raise WeirError(f"export: expected splits of the kind <=, found {node['decision_type']}")
    threshold = float(node["threshold"])
    missing_goes_left = int(_missing_goes_left(node, threshold))
    return ("BRANCH_LEQ", node["split_feature"], round_down_float32(threshold), *children, missing_goes_left)


def _missing_goes_left(node: dict[str, Any], threshold: float) -> bool:
    if node["missing_type"] == "NaN":
        return bool(node["default_left"])
    if node["missing_type"] == "None":
        return threshold >= 0.0
    raise WeirError(f"export: expected missing values as NaN, found missing_type {node['missing_type']}")
