"""When each fraud became known, found by hashes of key and id. Pure."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from weir.archive.whatif.labels import FRAUD, WITHDRAWN, Hashes, Scanned

NO_TIME: Final = -1


class FraudTimes:
    """Events whose newest label says fraud, with the time of the first label that did; and those that say good.

    A withdrawal is the newest of labels of one time, as in the label windows of the stream.
    """

    def __init__(self, labels: Scanned) -> None:
        """Take labels in any order."""
        order = np.lexsort((labels.verdicts, labels.times, labels.hashes))
        hashes, times, verdicts = (each[order] for each in labels)
        newest = np.append(hashes[1:] != hashes[:-1], True) if len(hashes) else np.empty(0, np.bool_)
        says_fraud = verdicts == FRAUD
        first_of, first = np.unique(hashes[says_fraud], return_index=True)
        told = newest & (verdicts != WITHDRAWN)
        self._hashes = hashes[told]
        self._times = np.full(len(self._hashes), NO_TIME, np.int64)
        frauds = verdicts[told] == FRAUD
        self._times[frauds] = times[says_fraud][first][np.searchsorted(first_of, self._hashes[frauds])]

    def find(self, hashes: Hashes) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """Return when each event was found to be fraud, ``NO_TIME`` for none, and whether it has any verdict."""
        if not len(self._hashes):
            return np.full(len(hashes), NO_TIME, np.int64), np.zeros(len(hashes), np.bool_)
        places = np.minimum(np.searchsorted(self._hashes, hashes), len(self._hashes) - 1)
        labelled = self._hashes[places] == hashes
        return np.where(labelled, self._times[places], NO_TIME), labelled
