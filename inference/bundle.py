"""The model bundle: a folder with ``model.onnx`` and ``manifest.json``, loaded whole or refused.

A bundle is refused in one line when a file is missing, the model's sha256 or the declarations' hash is another, or the
graph's input and output are not what the manifest says. There is no dummy model and no default score: a scorer of a
stream with labels does not start without a bundle, and a running one keeps the bundle it has when a new one is broken.
A stream without labels, or one whose operator says so, may have no model: then its lists and rules decide alone, and
each decision says so.

The output is read by its name. Position 0 is the label in graphs of common converters, a constant in disguise.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from weir.inference.core.calibration import Calibration
from weir.inference.core.lists import Lists, parse_lists
from weir.inference.core.reasons import build_groups
from weir.inference.core.vector import NO_MODEL, Matrix
from weir.inference.graph import Graph, WrongGraph, check_input, check_output, check_probe, one_line, open_session
from weir.infra.arguments import command_of
from weir.infra.settings import Settings
from weir.monitoring.logs import get_logger
from weir.schemas.errors import Refused
from weir.schemas.records.units import EARLIEST_TIME_MS
from weir.schemas.stream import Stream

_WRONG = "docs/models.md says what a bundle has to be"
_log = get_logger(__name__)


class Thresholds(BaseModel):
    """Scores from which on a row is reviewed or declined."""

    model_config = ConfigDict(frozen=True)

    review: float = Field(ge=0.0, le=1.0)
    decline: float = Field(ge=0.0, le=1.0)


class Manifest(BaseModel):
    """``manifest.json``; what training adds beyond these fields is kept and shown, not used."""

    model_config = ConfigDict(frozen=True, extra="allow", protected_namespaces=())

    name: str = Field(min_length=1)
    version: str = Field(min_length=1)
    created_time_ms: int = Field(ge=EARLIEST_TIME_MS)
    model_sha256: str
    declarations_hash: str
    features: tuple[str, ...] = Field(min_length=1)
    input_name: str
    output_name: str
    output_column: int | None = Field(default=None, ge=0)
    """Of an output with several columns: the one of P(fraud)."""
    dtype: str
    thresholds: Thresholds
    reference: tuple[float | None, ...]
    calibration: Calibration | None = None
    """What a score is worth; a bundle that lacks it decides without a probability."""


class Bundle:
    """A loaded model; one thread at a time.

    Attributes:
        manifest: as read.
        directory: where it was read from, links resolved.
        names: ordered features.
        reference: typical values, NaN where missing is typical.
        groups: columns by reason code.
        calibration: what a score is worth; None where the manifest does not say.
        graph: that scores; None where there is no model.
        lacking: causes for which every decision is degraded.
    """

    def __init__(self, manifest: Manifest, session: Any, directory: Path, stream: Stream) -> None:
        """Take what was read; without a session there is no model."""
        self.manifest = manifest
        self.directory = directory
        self.names = manifest.features
        self.review_threshold = manifest.thresholds.review
        self.decline_threshold = manifest.thresholds.decline
        self.reference = np.array([np.nan if v is None else v for v in manifest.reference], dtype=np.float32)
        self.groups = build_groups(self.names, stream)
        self.calibration = manifest.calibration
        self.graph = None if session is None else _bind(session, manifest)
        self.lacking: tuple[str, ...] = (NO_MODEL,) if session is None else ()

    def score(self, features: Matrix) -> npt.NDArray[np.float32]:
        """Return P(fraud) per row, float32, shape (rows,).

        Without a model all are NaN. Never raises for a graph that fails: its rows come back as NaN, which the decision
        records as a fallback. A batch that fails as a whole is scored row by row, so that one row cannot take the
        others with it.
        """
        if self.graph is None:
            return np.full(features.shape[0], np.nan, dtype=np.float32)
        scores = self._run(self.graph, features)
        if scores is not None:
            return scores
        if features.shape[0] == 1:
            return np.full(1, np.nan, dtype=np.float32)
        return np.concatenate([self.score(features[row : row + 1]) for row in range(features.shape[0])])

    def _run(self, graph: Graph, features: Matrix) -> npt.NDArray[np.float32] | None:
        rows = features.shape[0]
        if rows == 0:
            return np.empty(0, dtype=np.float32)
        try:
            return graph.run(features)
        except Exception as error:  # noqa: BLE001 - the runtime's errors share no base; routed into a recorded fallback
            _log.error("score_failed", rows=rows, error=type(error).__name__, model=self.manifest.version)
            return None


def load_bundle(directory: Path, *, stream: Stream, declarations_hash: str = "") -> Bundle:
    """Load and check a bundle.

    Args:
        directory: the bundle, or a link to it; resolved once, so that a link replaced meanwhile mixes no two bundles.
        declarations_hash: what this process computes features by; that of the stream by default.
        stream: whose features the model takes.

    Raises:
        Refused: with one line that names what is wrong and the fix.
    """
    folder = directory.resolve()
    manifest = read_manifest(folder, directory, stream)
    model = _read_file(folder / "model.onnx", directory, stream)
    found = hashlib.sha256(model).hexdigest()
    if found != manifest.model_sha256:
        raise Refused(f"model bundle {directory}: expected model.onnx with sha256 {manifest.model_sha256[:12]}..., "
                      f"found {found[:12]}...; {_WRONG}")  # fmt: skip
    check_fit(manifest, str(directory), stream, declarations_hash or stream.declarations_hash)
    try:
        session = _open_graph(manifest, model)
        bundle = Bundle(manifest, session, folder, stream)
        check_probe(_bind(session, manifest), bundle.reference)
    except WrongGraph as error:
        raise Refused(f"model bundle {directory}: {error}; {_WRONG}") from None
    return bundle


def load_champion(settings: Settings) -> Bundle:
    """Load the bundle in force; where there is none and none is needed, return what stands for it.

    Raises:
        Refused: there is none where there has to be one, or it is not right.
    """
    path, stream = champion_path(settings), settings.stream
    expected = stream.labels is not None and not settings.scorer.without_model
    if (
        expected or settings.scorer.bundle_dir is not None or os.path.lexists(path)
    ):  # one that is there may be broken, and is refused then
        return load_bundle(path, declarations_hash=settings.declarations_hash, stream=stream)
    return stand_for_none(path, declarations_hash=settings.declarations_hash, stream=stream)


def stand_for_none(directory: Path, *, declarations_hash: str, stream: Stream) -> Bundle:
    """Return what stands for the model of a stream that has none; ``none`` is its name and version."""
    names = stream.feature_names
    manifest = Manifest(
        name="none",
        version="none",
        created_time_ms=EARLIEST_TIME_MS,
        model_sha256="",
        declarations_hash=declarations_hash,
        features=names,
        input_name="",
        output_name="",
        dtype="float32",
        thresholds=Thresholds(review=1.0, decline=1.0),
        reference=(None,) * len(names),
    )
    return Bundle(manifest, None, directory, stream)


def load_lists(settings: Settings) -> Lists:
    """Read the allow and block lists.

    Raises:
        Refused: the named file is missing, or a file is no lists document.
    """
    path = settings.lists_path
    if settings.scorer.lists_file is None and not path.is_file():
        return Lists()
    try:
        return parse_lists(json.loads(path.read_text(encoding="utf-8")), tuple(settings.stream.id_field_of))
    except (OSError, ValueError) as error:
        raise Refused(f"lists file {path}: {one_line(error)}; fix the file or remove it") from None


def champion_path(settings: Settings) -> Path:
    """Return where the bundle in force is: the configured one, else the champion link."""
    return settings.scorer.bundle_dir or settings.models_dir / "champion"


def _bind(session: Any, manifest: Manifest) -> Graph:
    return Graph(
        session,
        input_name=manifest.input_name,
        output_name=manifest.output_name,
        dtype=manifest.dtype,
        column=manifest.output_column,
    )


def _read_file(path: Path, directory: Path, stream: Stream) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        ways = "bring your own: docs/models.md"
        if stream.labels:
            train = f"train one with `{command_of(stream, 'train')}`"
            ways = f"{train}, or {ways}; WEIR_SCORER__WITHOUT_MODEL=true decides by rules and lists until then"
        raise Refused(f"model bundle {directory}: expected {path.name}, found none; {ways}") from None


def read_manifest(folder: Path, directory: Path, stream: Stream) -> Manifest:
    """Read a bundle's manifest.

    Args:
        folder: that it is in.
        directory: as the bundle is named in messages.
        stream: whose model it is of.

    Raises:
        Refused: there is none, or it is not one.
    """
    try:
        return Manifest.model_validate_json(_read_file(folder / "manifest.json", directory, stream))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "$"
        raise Refused(f"model bundle {directory}: manifest.json at {where}: {first['msg'].lower()}; {_WRONG}") from None


def check_fit(manifest: Manifest, name: str, stream: Stream, declares: str) -> None:
    """Look whether a bundle is for the features of a stream.

    Args:
        manifest: of the bundle.
        name: of the bundle, for messages.
        stream: whose features it takes.
        declares: the hash of what features are computed by here.

    Raises:
        Refused: it is for others, or is not right in itself.
    """
    if manifest.declarations_hash != declares:
        raise Refused(f"model bundle {name}: trained on declarations {manifest.declarations_hash}, "
                      f"this code declares {declares}; train again with `{command_of(stream, 'train')}`, "
                      "or export your own for these features: docs/models.md")  # fmt: skip
    unknown = [each for each in manifest.features if each not in stream.feature_names]
    if unknown or len(set(manifest.features)) < len(manifest.features):
        raise Refused(f"model bundle {name}: wants features that are not declared or named twice "
                      f"({', '.join(unknown[:3]) or 'twice'}); {_WRONG}")  # fmt: skip
    if len(manifest.reference) != len(manifest.features):
        raise Refused(f"model bundle {name}: expected {len(manifest.features)} reference values, "
                      f"found {len(manifest.reference)}; {_WRONG}")  # fmt: skip
    if manifest.thresholds.review > manifest.thresholds.decline:
        raise Refused(f"model bundle {name}: expected the review threshold below the decline threshold; {_WRONG}")


def _open_graph(manifest: Manifest, model: bytes) -> Any:
    session = open_session(model)
    check_input(session, name=manifest.input_name, dtype=manifest.dtype, width=len(manifest.features))
    check_output(session, name=manifest.output_name)
    return session
