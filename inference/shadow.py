"""Scores a challenger next to the model that decides: on the same matrix, noted in the decision, used for nothing.

A shadow that fails gives no score for those rows and is counted. Nothing else of the decision depends on it.

**Cost:** its own graph once per batch. The feature matrix is the one of the champion; only a shadow that takes other
features has its columns put in order.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from weir.inference.bundle import Bundle
from weir.inference.core.decisions import check_scores
from weir.inference.core.records import ModelLabel, Shadowed
from weir.inference.core.vector import select_columns
from weir.monitoring.logs import get_logger
from weir.streaming.feature_rows import FeatureBatch

_log = get_logger(__name__)


class HasShadow(Protocol):
    """What names the shadow now; ``inference.champion.Champion`` is the real one."""

    @property
    def shadow(self) -> Bundle | None:
        """Return the shadow, where there is one."""
        ...


class ShadowScorer:
    """Scores batches by whatever is the shadow then."""

    def __init__(self, current: HasShadow) -> None:
        """Bind to what may have a shadow, which changes between two batches."""
        self._current = current
        self._failed: Bundle | None = None

    def score(self, batch: FeatureBatch) -> Shadowed | None:
        """Return the scores of a batch, or nothing where there is no shadow. Never raises."""
        shadow = self._current.shadow
        if shadow is None or shadow.graph is None:
            return None
        label = ModelLabel(shadow.manifest.name, shadow.manifest.version)
        if not len(batch):
            return Shadowed(label, np.empty(0, dtype=np.float32))
        try:
            scores = shadow.graph.run(select_columns(batch.features, batch.names, shadow.names))
        except Exception as error:  # noqa: BLE001 - the runtime's errors share no base; counted, and nothing depends on it
            if self._failed is not shadow:  # a broken shadow would fill the log
                _log.error("shadow_failed", model=label.version, rows=len(batch), error=type(error).__name__)
            self._failed = shadow
            return Shadowed(label, np.full(len(batch), np.nan, dtype=np.float32))
        return Shadowed(label, check_scores(scores))
