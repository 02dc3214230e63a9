"""What ``weir models`` needs of the archive, which this folder does not import."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from weir.inference.bundle import Manifest
from weir.inference.core.vector import Matrix
from weir.infra.settings import Settings


@dataclass(frozen=True)
class Logged:
    """What a model decided.

    Attributes:
        features: float32, shape (rows, len(names)).
        scores: float64, shape (rows,), as recorded.
    """

    features: Matrix
    names: tuple[str, ...]
    scores: npt.NDArray[np.float64]


class Archive(Protocol):
    """The archive of the deployment; ``weir.models`` has the real one."""

    def keep(self, settings: Settings, folder: Path) -> bool:
        """Keep a bundle where other hosts find it; False where there is no archive."""
        ...

    def read_logged(self, settings: Settings, model: Manifest) -> Logged:
        """Return the newest decisions of a model, with what it saw.

        Raises:
            Refused: there is no archive.
            WeirError: it cannot be read.
        """
        ...
