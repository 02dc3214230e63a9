"""Writes the other contenders as ONNX graphs, with the same care as ``training/export.py`` has for LightGBM.

Trees of scikit-learn compare float32 inputs with float64 thresholds, as LightGBM does, so thresholds are rounded down;
those of XGBoost are float32 and compared by ``<``. Each node says where a missing value goes.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from onnx import TensorProto, helper, numpy_helper

from weir.training.export import INPUT_NAME, OUTPUT_NAME, finish_graph, round_down_float32

AT_MOST: Final = "BRANCH_LEQ"
BELOW: Final = "BRANCH_LT"
_LEAF: Final = -1
_DOUBLE: Final = TensorProto.DOUBLE
Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Tree:
    """The nodes of one tree as columns; ``left`` is -1 for a leaf.

    Attributes:
        left: next node where the condition holds.
        right: next node where it does not.
        feature: column of the input.
        threshold: that it is compared with.
        missing_left: whether a missing value goes left.
        value: of a leaf, to be added up.
    """

    left: Array
    right: Array
    feature: Array
    threshold: Array
    missing_left: Array
    value: Array


def build_tree_graph(
    trees: Sequence[Tree], mode: str, then: Sequence[tuple[str, float | None]], columns: int, metadata: dict[str, str]
) -> Any:
    """Return a graph that adds up the leaves of trees, and what is done with the sum.

    Args:
        trees: of one ensemble.
        mode: how a value is compared with a threshold.
        then: operators of ONNX, each with its constant where it has one.
        columns: of the input.
        metadata: text stored in the model file.
    """
    attributes: dict[str, Any] = {}
    for number, tree in enumerate(trees):
        for name, values in _describe_tree(number, tree, mode).items():
            attributes.setdefault(name, []).extend(values)
    nodes = [
        helper.make_node("TreeEnsembleRegressor", [INPUT_NAME], ["sum"], domain="ai.onnx.ml", n_targets=1, **attributes)
    ]
    constants, given = [], "sum"
    for step, (operator, constant) in enumerate((*then, ("Clip", None))):  # float32 sums can end just above 1
        inputs = [given]
        bounds = (0.0, 1.0) if operator == "Clip" else () if constant is None else (constant,)
        for at, value in enumerate(bounds):
            constants.append(numpy_helper.from_array(np.asarray(value, np.float32), f"constant_{step}_{at}"))
            inputs.append(constants[-1].name)
        given = OUTPUT_NAME if step == len(then) else f"step_{step}"
        nodes.append(helper.make_node(operator, inputs, [given]))
    return finish_graph(nodes, columns, metadata, constants)


def build_linear_graph(
    medians: Array, indicated: Array, weights: Array, bias: float, columns: int, metadata: dict[str, str]
) -> Any:
    """Return the graph of ``models.fit_logistic``, computed in float64.

    Args:
        medians: of each column after the signed logarithm; they stand for missing values.
        indicated: columns whose missing values have a weight of their own.
        weights: of the columns, then of the indicators; scaling is part of them.
        bias: with what scaling takes away.
        columns: of the input.
        metadata: text stored in the model file.
    """
    constants = [
        numpy_helper.from_array(np.asarray(1.0), "one"),
        numpy_helper.from_array(medians.astype(np.float64), "medians"),
        numpy_helper.from_array(indicated.astype(np.int64), "indicated"),
        numpy_helper.from_array(weights.astype(np.float64).reshape(-1, 1), "weights"),
        numpy_helper.from_array(np.asarray(bias), "bias"),
    ]
    steps: list[tuple[str, list[str], str, dict[str, Any]]] = [
        ("IsNaN", [INPUT_NAME], "is_missing", {}),
        ("Cast", [INPUT_NAME], "given", {"to": TensorProto.DOUBLE}),
        ("Sign", ["given"], "sign", {}),
        ("Abs", ["given"], "size", {}),
        ("Add", ["size", "one"], "size_1", {}),
        ("Log", ["size_1"], "log", {}),
        ("Mul", ["sign", "log"], "logged", {}),
        ("Where", ["is_missing", "medians", "logged"], "filled", {}),
        ("Gather", ["is_missing", "indicated"], "picked", {"axis": 1}),
        ("Cast", ["picked"], "indicators", {"to": TensorProto.DOUBLE}),
        ("Concat", ["filled", "indicators"], "row", {"axis": 1}),
        ("MatMul", ["row", "weights"], "product", {}),
        ("Add", ["product", "bias"], "raw", {}),
        ("Sigmoid", ["raw"], "exact", {}),
        ("Cast", ["exact"], OUTPUT_NAME, {"to": TensorProto.FLOAT}),
    ]
    nodes = [helper.make_node(operator, inputs, [output], **more) for operator, inputs, output, more in steps]
    return finish_graph(nodes, columns, metadata, constants)


def build_stack_graph(
    parts: Sequence[tuple[Any, str]], weights: Array, bias: float, columns: int, metadata: dict[str, str]
) -> Any:
    """Return one graph that weighs a tensor of each of several graphs, in float64.

    Args:
        parts: graphs of the same input, each with the name of the tensor; what comes after it is left out.
        weights: of the tensors.
        bias: of the sum.
        columns: of the input.
        metadata: text stored in the model file.
    """
    nodes: list[Any] = []
    constants = [
        numpy_helper.from_array(weights.astype(np.float64).reshape(-1, 1), "weights"),
        numpy_helper.from_array(np.asarray(bias), "bias"),
    ]
    for number, (model, tensor) in enumerate(parts):
        taken, used = _take_nodes(model.graph, tensor, f"base_{number}_")
        nodes += [*taken, helper.make_node("Cast", [f"base_{number}_{tensor}"], [f"said_{number}"], to=_DOUBLE)]
        constants += used
    nodes += [
        helper.make_node("Concat", [f"said_{number}" for number in range(len(parts))], ["said"], axis=1),
        helper.make_node("MatMul", ["said", "weights"], ["product"]),
        helper.make_node("Add", ["product", "bias"], ["sum"]),
        helper.make_node("Sigmoid", ["sum"], ["exact"]),
        helper.make_node("Cast", ["exact"], [OUTPUT_NAME], to=TensorProto.FLOAT),
    ]
    return finish_graph(nodes, columns, metadata, constants)


def read_sklearn_tree(tree: Any, value: Array) -> Tree:
    """Return a tree of scikit-learn, with its value for each node."""
    threshold = np.array([round_down_float32(each) for each in tree.threshold])
    return Tree(tree.children_left, tree.children_right, tree.feature, threshold, tree.missing_go_to_left, value)


def read_xgboost_tree(tree: Any) -> Tree:
    """Return a tree of the JSON that XGBoost writes; its leaves' values are in the place of thresholds."""
    names = ("left_children", "right_children", "split_indices", "split_conditions", "default_left")
    left, right, feature, threshold, missing_left = (np.asarray(tree[name]) for name in names)
    return Tree(left, right, feature, threshold, missing_left, threshold)


def compute_path_lengths(tree: Any) -> Array:
    """Return how deep each node of an isolation tree is, with what splitting its rows further would take on average."""
    depth = np.zeros(tree.node_count)
    for node in range(tree.node_count):  # a node comes before its children
        if tree.children_left[node] != _LEAF:
            depth[[tree.children_left[node], tree.children_right[node]]] = depth[node] + 1
    lengths: Array = depth + np.array([average_path_length(int(rows)) for rows in tree.n_node_samples])
    return lengths


def average_path_length(rows: int) -> float:
    """Return the mean depth of a search tree of so many rows (Liu, Ting, Zhou, *Isolation Forest*, 2008).

    >>> average_path_length(2)
    1.0
    """
    if rows <= 2:
        return float(rows == 2)
    return 2.0 * (math.log(rows - 1.0) + float(np.euler_gamma)) - 2.0 * (rows - 1.0) / rows


def _take_nodes(graph: Any, tensor: str, prefix: str) -> tuple[list[Any], list[Any]]:
    """Return copies of the nodes up to the one that makes a tensor, and of their constants, under other names."""

    def rename(names: Sequence[str]) -> list[str]:
        return [name if name == INPUT_NAME else f"{prefix}{name}" for name in names]

    last = next(at for at, node in enumerate(graph.node) if tensor in node.output)
    nodes, constants = [copy.deepcopy(node) for node in graph.node[: last + 1]], []
    needed = {name for node in nodes for name in node.input}
    for node in nodes:
        node.input[:], node.output[:] = rename(node.input), rename(node.output)
    for constant in graph.initializer:
        if constant.name in needed:
            constants.append(copy.deepcopy(constant))
            constants[-1].name = f"{prefix}{constant.name}"
    return nodes, constants


def _describe_tree(number: int, tree: Tree, mode: str) -> dict[str, list[Any]]:
    leaves = tree.left == _LEAF
    at = np.arange(len(leaves))

    def of_branches(values: Array, kind: type) -> list[Any]:
        return np.where(leaves, 0, values).astype(kind).tolist()  # type: ignore[no-any-return]

    return {
        "nodes_treeids": [number] * len(at),
        "nodes_nodeids": at.tolist(),
        "nodes_modes": ["LEAF" if leaf else mode for leaf in leaves],
        "nodes_featureids": of_branches(tree.feature, int),
        "nodes_values": of_branches(tree.threshold, float),
        "nodes_truenodeids": of_branches(tree.left, int),
        "nodes_falsenodeids": of_branches(tree.right, int),
        "nodes_missing_value_tracks_true": of_branches(tree.missing_left, int),
        "target_treeids": [number] * int(leaves.sum()),
        "target_nodeids": at[leaves].tolist(),
        "target_ids": [0] * int(leaves.sum()),
        "target_weights": tree.value[leaves].astype(float).tolist(),
    }
