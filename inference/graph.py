"""The graph of a model: opened, held to its manifest, run. What is wrong with one is said in one line.

A user's own export is as welcome as ours, so each refusal gives the shape or type that was found, the one that is
wanted, and how converters are told to write it. ``docs/models.md`` is the long form.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from weir.inference.core.vector import Matrix

INPUT_TYPES: Mapping[str, str] = {"float32": "tensor(float)", "float64": "tensor(double)"}
"""What ``dtype`` of a manifest may be, and the type of the graph's input that goes with it."""
_OUTPUT_TYPES = frozenset(INPUT_TYPES.values())
SHARED_ROWS = 2_000
"""From so many rows on, as when a full topic is worked off, half of them are scored on a second thread: a row's score
does not depend on the rows next to it, and what calls has nothing else to do. Fewer are not worth a core's wake-up."""


_HELPER_IS_FREE = threading.Lock()


class WrongGraph(Exception):
    """The graph cannot be used; the message says what was expected and found, and how to export it."""


class Graph:
    """A session and how to call it; one thread at a time."""

    def __init__(self, session: Any, *, input_name: str, output_name: str, dtype: str, column: int | None) -> None:
        self._session = session
        self._input = input_name
        self._outputs = [output_name]
        self._dtype = np.dtype(dtype)
        self._column = column

    def run(self, features: Matrix) -> npt.NDArray[np.float32]:
        """Return P(fraud) per row, float32, shape (rows,).

        Raises:
            WrongGraph: the output's shape is not one score per row.
            Exception: of the runtime, whose errors share no base.
        """
        given = features.astype(self._dtype, copy=False)
        if len(given) < SHARED_ROWS or not _HELPER_IS_FREE.acquire(blocking=False):
            return self._score(given)  # who scores on several threads at once needs no other
        try:
            return self._score_halves(given)
        finally:
            _HELPER_IS_FREE.release()

    def _score_halves(self, given: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        half = len(given) // 2
        later = _helper().submit(self._score, given[half:])
        try:
            return np.concatenate([self._score(given[:half]), later.result()])
        finally:
            wait([later])  # what calls next finds nothing of this call

    def _score(self, given: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        found = np.asarray(self._session.run(self._outputs, {self._input: given})[0])
        return pick_scores(found, rows=len(given), column=self._column)


@cache
def _helper() -> ThreadPoolExecutor:
    """Return the second thread; it starts with the first large batch."""
    return ThreadPoolExecutor(1, thread_name_prefix="score")


def open_session(model: bytes) -> Any:
    """Load a graph.

    Raises:
        WrongGraph: with the runtime's own words.
    """
    options = onnxruntime.SessionOptions()
    # one thread: trees in micro-batches gain nothing from more, and what a tree adds up is in the same order always
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 4  # errors come as exceptions; the runtime's own stderr lines would be unstructured
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 - the runtime's errors share no base; routed into a refusal
        raise WrongGraph(f"model.onnx cannot be loaded: {one_line(error)}") from None


def check_input(session: Any, *, name: str, dtype: str, width: int) -> None:
    """Compare the graph's input with the manifest.

    Raises:
        WrongGraph: it is another one.
    """
    inputs = {node.name: node for node in session.get_inputs()}
    if set(inputs) != {name} or dtype not in INPUT_TYPES:
        raise WrongGraph(f"expected one float32 input {name}, found {', '.join(inputs)} ({dtype})"
                         f"{'; all features go into one tensor (N, features)' if len(inputs) > 1 else ''}")  # fmt: skip
    given = inputs[name]
    # a width left open in the graph is settled by the probe
    if given.type != INPUT_TYPES[dtype] or len(given.shape) != 2 or _is_other(given.shape[1], width):
        raise WrongGraph(f"expected input {dtype} (N, {width}), found {given.type} {_shape(given.shape)}")
    if isinstance(given.shape[0], int):
        raise WrongGraph(f"expected input {dtype} (N, {width}) of any number of rows, found {_shape(given.shape)}; "
                         "export with None as the first dimension")  # fmt: skip


def check_output(session: Any, *, name: str) -> None:
    """Look whether the graph has that output, and it is numbers.

    Raises:
        WrongGraph: it does not or they are none.
    """
    outputs = {node.name: node for node in session.get_outputs()}
    found = ", ".join(f"{node.name} {node.type}" for node in outputs.values())
    if name not in outputs:
        raise WrongGraph(f"expected float32 output {name}, found {found}; name one of them as output_name")
    kind = outputs[name].type
    if kind.startswith("seq(map("):
        raise WrongGraph(f"expected float32 output {name}, found {kind}, a ZipMap; export with the option zipmap=False "
                         "and name the column of P(fraud) as output_column, or with zipmap='columns'")  # fmt: skip
    if kind not in _OUTPUT_TYPES:
        label = "; that is the label: name the probabilities as output_name" if "int64" in kind else ""
        raise WrongGraph(f"expected float32 output {name}, found {found}{label}")


def check_probe(graph: Graph, reference: npt.NDArray[np.float32]) -> None:
    """Score the typical row, a row of nothing, and more rows than one at a time.

    Raises:
        WrongGraph: the graph fails there, gives another shape, or leaves [0, 1].
    """
    rows = np.stack([reference, np.full_like(reference, np.nan), reference])
    try:
        scores = graph.run(rows)
    except WrongGraph:
        raise
    except Exception as error:  # noqa: BLE001 - the runtime's errors share no base; routed into a refusal
        raise WrongGraph(f"expected scores for 3 rows of {rows.shape[1]} features, found {one_line(error)}") from None
    if np.isnan(scores[1]) and np.isfinite(scores[0]):
        raise WrongGraph("expected a score in [0, 1] for a row of nothing but missing features (NaN), found NaN; "
                         "what a missing value means is part of the graph: an imputer before the model")  # fmt: skip
    if not (np.isfinite(scores) & (scores >= 0) & (scores <= 1)).all():
        raise WrongGraph("expected a score in [0, 1] for the reference row and for an empty one, "
                         f"found {scores[:2].tolist()}; export probabilities, not raw scores")  # fmt: skip


def pick_scores(found: npt.NDArray[Any], *, rows: int, column: int | None) -> npt.NDArray[np.float32]:
    """Return one score per row of an output of shape (rows,), (rows, 1) or, of a named column, (rows, columns).

    Raises:
        WrongGraph: it has another shape.

    >>> pick_scores(np.array([[0.9, 0.1], [0.2, 0.8]]), rows=2, column=1).tolist()
    [0.10000000149011612, 0.800000011920929]
    """
    if found.ndim not in (1, 2) or found.shape[0] != rows or not np.issubdtype(found.dtype, np.floating):
        raise WrongGraph(f"expected scores of shape ({rows},) or ({rows}, 1) for {rows} rows, found {found.shape}")
    columns = found.shape[1] if found.ndim == 2 else 1
    if column is None and columns != 1:
        raise WrongGraph(f"expected one score per row, (N,) or (N, 1), found {columns} columns, (N, {columns}); "
                         "name the one of P(fraud) as output_column in manifest.json, often 1")  # fmt: skip
    if column is not None and column >= columns:
        raise WrongGraph(f"expected column {column} by output_column, found {columns} column(s), {found.shape}")
    return found.reshape(rows, columns)[:, column or 0].astype(np.float32)


def one_line(error: Exception) -> str:
    """Return an error's text, cut, without its line breaks."""
    return " ".join(str(error).split())[:200]


def _is_other(found: Any, wanted: int) -> bool:
    return isinstance(found, int) and found != wanted


def _shape(shape: list[Any]) -> str:
    return "(" + ", ".join("N" if isinstance(size, str) or size is None else str(size) for size in shape) + ")"
