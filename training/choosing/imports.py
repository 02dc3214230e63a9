"""``weir models import``: makes a bundle of a model that another program has written, and says what is wrong with it.

An ONNX graph is taken as it is. LightGBM trees, as ``Booster.save_model`` writes them, are exported as those of
``weir train`` are, and held to their source. A folder that is a bundle is copied. Nothing is published.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from weir.inference.bundle import Bundle, load_bundle
from weir.inference.core.vector import Matrix
from weir.inference.graph import INPUT_TYPES, WrongGraph, open_session
from weir.inference.model_store import MANIFEST_FILE, MODEL_FILE
from weir.infra.settings import Settings
from weir.schemas.errors import Refused
from weir.training.bundle import write_files

ROWS = 4_000
"""Half of them with a third of their values missing."""
_MISSING_SHARE = 0.3
_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,79}")
_BYTES_MAX = 1 << 30


@dataclass(frozen=True)
class Wanted:
    """What a user says of a model.

    Attributes:
        name: of the model.
        version: of the bundle; the time by default.
        features: names in the order of the model's columns; empty for what the model says, or all of the stream.
        output: of the graph; empty for the only one that is numbers.
        column: of an output with several; the second of two by default, which is P(fraud) by custom.
    """

    name: str
    version: str = ""
    features: tuple[str, ...] = ()
    output: str = ""
    column: int | None = None
    review: float = 0.5
    decline: float = 0.9


@dataclass(frozen=True)
class Imported:
    """A bundle that was made.

    Attributes:
        rows: that it was scored on.
        parity: largest difference to the model that it was made of; None where only the graph is known.
    """

    bundle: Bundle
    rows: int
    parity: float | None


def import_model(path: Path, wanted: Wanted, settings: Settings) -> Imported:
    """Make a bundle of a file or folder, in the models folder of a stream.

    Raises:
        Refused: with what was expected and found, and how converters are told to write it.
        WeirError: the export does not equal its source.
    """
    version = wanted.version or time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    if path.is_dir():
        return _copy(path, settings)
    for what, given in (("--name", wanted.name), ("--version", version)):
        if not _NAME.fullmatch(given):
            raise Refused(f"{what}: expected letters, digits, '.', '_' and '-', found {given[:40]!r}")
    model, features, parity = _read(path, wanted, settings)
    manifest = _build_manifest(model, wanted, version, features, settings)
    if parity is not None:
        manifest["parity_max_abs_diff"] = parity
    files = {MODEL_FILE: model, MANIFEST_FILE: (json.dumps(manifest, indent=2) + "\n").encode()}
    return _check(write_files(settings.models_dir, f"{wanted.name}-{version}", files), settings, parity)


def _copy(path: Path, settings: Settings) -> Imported:
    files = {each.name: each.read_bytes() for each in sorted(path.iterdir()) if each.is_file()}
    if MANIFEST_FILE not in files:
        raise Refused(f"{path}: expected a bundle with {MANIFEST_FILE}, an ONNX graph or LightGBM trees, found none")
    return _check(write_files(settings.models_dir, path.resolve().name, files), settings, None)


def _check(folder: Path, settings: Settings, parity: float | None) -> Imported:
    """Load a bundle and score rows; one that is not right is removed again."""
    try:
        bundle = load_bundle(folder, stream=settings.stream, declarations_hash=settings.declarations_hash)
        rows = build_rows(bundle.reference)
        scores = bundle.score(rows)
        if wrong := int(np.count_nonzero(~((scores >= 0) & (scores <= 1)))):
            raise Refused(f"expected a score in [0, 1] for each of {len(rows):,} rows, found none for {wrong:,}, such "
                          "as those with missing features (NaN); an imputer before the model helps")  # fmt: skip
        if float(np.ptp(scores)) == 0:
            raise Refused(f"expected scores that vary, found {scores[0]:g} for each of {len(rows):,} rows; the output "
                          "may be the label: name another with --output or --column")  # fmt: skip
    except Refused:
        shutil.rmtree(folder)
        raise
    return Imported(bundle, len(rows), parity)


def build_rows(reference: Matrix) -> Matrix:
    """Return rows around a typical one, float32, shape (4,000, features): small and large, whole and incomplete."""
    random = np.random.default_rng(1)
    scale = np.maximum(np.abs(np.nan_to_num(reference)), 1.0)
    rows = (random.lognormal(0.0, 2.0, (ROWS, len(reference))) * scale).astype(np.float32)
    rows[ROWS // 2 :][random.random((ROWS - ROWS // 2, len(reference))) < _MISSING_SHARE] = np.nan
    return rows


def _read(path: Path, wanted: Wanted, settings: Settings) -> tuple[bytes, tuple[str, ...], float | None]:
    """Return the graph, its features, and how far it is from its source."""
    try:
        if path.stat().st_size > _BYTES_MAX:
            raise Refused(f"{path}: expected at most {_BYTES_MAX:,} bytes, found more")
        content = path.read_bytes()
    except OSError as error:
        raise Refused(f"{path}: expected a model, found none: {(error.strerror or '').lower()}") from None
    features = wanted.features or settings.stream.feature_names
    if content.startswith(b"tree\n"):
        return _export_trees(content.decode(), wanted, settings)
    if path.suffix in {".pkl", ".pickle", ".joblib"}:
        raise Refused(f"{path}: expected an ONNX graph or LightGBM trees, found a pickle, which runs code when it is "
                      "read; convert it where it was made: docs/models.md has the calls")  # fmt: skip
    return content, features, None


def _export_trees(text: str, wanted: Wanted, settings: Settings) -> tuple[bytes, tuple[str, ...], float]:
    from lightgbm import Booster  # noqa: PLC0415 - a second to import

    from weir.training.export import INPUT_NAME, OUTPUT_NAME, build_onnx  # noqa: PLC0415
    from weir.training.models import Trees  # noqa: PLC0415
    from weir.training.parity import check_parity  # noqa: PLC0415

    booster = Booster(model_str=text)
    named = tuple(booster.feature_name())
    known = settings.stream.feature_names
    features = wanted.features or (named if set(named) <= set(known) else known)
    if len(features) != len(named):
        raise Refused(f"expected a name for each of the {len(named)} columns of the trees, found {len(features)}; list "
                      "them in the order of the columns with --features FILE")  # fmt: skip
    model = build_onnx(booster, metadata={"name": wanted.name})
    rows = build_rows(np.zeros(len(features), np.float32))
    trees = Trees(booster)
    parity = check_parity(model, trees, rows, input_name=INPUT_NAME, output_name=OUTPUT_NAME)
    return model.SerializeToString(), features, parity


def _build_manifest(
    model: bytes, wanted: Wanted, version: str, features: Sequence[str], settings: Settings
) -> dict[str, Any]:
    try:
        session = open_session(model)
    except WrongGraph as error:
        raise Refused(f"expected an ONNX graph, found another file: {error}") from None
    given = session.get_inputs()[0]
    kinds = {kind: dtype for dtype, kind in INPUT_TYPES.items()}
    output, column = _pick_output(session, wanted)
    return {
        "name": wanted.name,
        "version": version,
        "created_time_ms": int(time.time() * 1_000),
        "model_sha256": hashlib.sha256(model).hexdigest(),
        "declarations_hash": settings.declarations_hash,
        "features": list(features),
        "input_name": given.name,
        "dtype": kinds.get(given.type, "float32"),
        "output_name": output,
        "output_column": column,
        "thresholds": {"review": wanted.review, "decline": wanted.decline},
        "reference": [0.0] * len(features),
    }


def _pick_output(session: Any, wanted: Wanted) -> tuple[str, int | None]:
    """Return the output that holds P(fraud), and its column; the label and a ZipMap never are it."""
    outputs = {node.name: node for node in session.get_outputs()}
    numbers = [name for name, node in outputs.items() if node.type in INPUT_TYPES.values()]
    if not wanted.output and len(numbers) > 1:
        raise Refused(
            f"expected one output of numbers, found {', '.join(numbers)}; name the one of P(fraud) with --output"
        )
    name = wanted.output or next(iter([*numbers, *[each for each in outputs if "map" in outputs[each].type], *outputs]))
    shape = outputs[name].shape if name in outputs else []
    pair = len(shape) == 2 and shape[1] == 2
    return name, wanted.column if wanted.column is not None else 1 if pair else None
