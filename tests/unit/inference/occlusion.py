"""What a bundle says of feature rows, worked out one row at a time from its two files; shares no code with the scorer.

A reason is a story that several features tell: without all of them, at their typical values, the score falls.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from weir.schemas.entity import Feature
from weir.schemas.stream import Stream

Row = dict[str, Any]
Vector = np.ndarray[tuple[int, ...], np.dtype[np.float32]]
REASONS_MAX = 3
SHARE_MIN = 0.1


class Oracle:
    """The bundle in a folder, read as its documentation says."""

    def __init__(self, folder: Path, stream: Stream) -> None:
        self.manifest = json.loads((folder / "manifest.json").read_text())
        self._session = onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
        self._features = {feature.name: feature for feature in stream.all_features}
        self.names: list[str] = self.manifest["features"]
        self.typical = np.array([np.nan if v is None else v for v in self.manifest["reference"]], np.float32)

    def score(self, vectors: Vector) -> Vector:
        """Return P(fraud) of rows."""
        (found,) = self._session.run([self.manifest["output_name"]], {self.manifest["input_name"]: vectors})
        return np.asarray(found, np.float32).reshape(len(vectors))

    def decide(self, row: Row) -> Row:
        """Return what a decision says of a feature row, but for where it was and when it was decided."""
        vector = np.array([np.nan if row[name] is None else row[name] for name in self.names], np.float32)
        score = self.score(vector[None])[0]
        bars = [np.float32(self.manifest["thresholds"][name]) for name in ("review", "decline")]
        decision = "DECLINE" if score >= bars[1] else "REVIEW" if score >= bars[0] else "APPROVE"
        reasons = [] if decision == "APPROVE" else self._explain(vector, score)
        said = {"decision": decision, "score": float(score), "decided_by": "model", "reasons": reasons}
        said |= self.rate(float(score))
        return said | {"model_name": self.manifest["name"], "model_version": self.manifest["version"]}

    def rate(self, score: float) -> Row:
        """Return what the score is worth by the map in the manifest, where there is one."""
        if (given := self.manifest.get("calibration")) is None:
            return {"probability": None, "prediction_set": None}
        knots = list(zip(given["scores"], given["probabilities"], strict=True))
        right = next((at for at, (knot, _) in enumerate(knots) if knot > score), len(knots) - 1) or 1
        (x, y), (next_x, next_y) = knots[right - 1], knots[right]
        probability = y + (min(max(score, x), next_x) - x) / (next_x - x) * (next_y - y)
        may_be = (score >= given["positive_from"], score <= given["negative_to"])
        named = {(True, True): "BOTH", (True, False): "POSITIVE", (False, True): "NEGATIVE", (False, False): "NEITHER"}
        return {"probability": float(np.float32(probability)), "prediction_set": named[may_be]}

    def _explain(self, vector: Vector, score: np.float32) -> list[Row]:
        stories: dict[str, list[int]] = {}
        for column, name in enumerate(self.names):
            stories.setdefault(_code(self._features[name]), []).append(column)
        lost = {code: score - self._without(vector, columns) for code, columns in stories.items()}
        least = max(float(SHARE_MIN * score), 1e-6)
        weighty = sorted((code for code in lost if lost[code] >= least), key=lambda code: -lost[code])
        found = [self._describe(vector, code, stories[code]) for code in weighty[:REASONS_MAX]]
        return found or [{"code": "MODEL_SCORE", "detail": f"score {score:.3f}"}]

    def _without(self, vector: Vector, columns: list[int]) -> np.float32:
        changed = vector.copy()
        changed[columns] = self.typical[columns]
        return self.score(changed[None])[0]

    def _describe(self, vector: Vector, code: str, columns: list[int]) -> Row:
        differs = [
            c for c in columns if not (vector[c] == self.typical[c] or np.isnan([vector[c], self.typical[c]]).all())
        ]
        column = min(differs, key=lambda c: self._without(vector, [c]))
        value = float(vector[column])
        name = self.names[column]
        code = f"{self._features[name].entity.upper()}_NOT_KNOWN" if math.isnan(value) else code
        return {"code": code, "detail": f"{name} = {_say(value)} (typical {_say(float(self.typical[column]))})"}


def _code(feature: Feature) -> str:
    told = feature.measure if feature.aggregate == "value" else f"{feature.measure}_{feature.aggregate}"
    return f"{feature.entity}_{told}".upper()


def _say(value: float) -> str:
    if math.isnan(value):
        return "missing"
    return str(int(value)) if value == int(value) else f"{value:.3g}" if abs(value) < 1_000 else f"{value:.0f}"
