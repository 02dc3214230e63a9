"""When fraud became known: the first label that said so, of an event whose newest label does."""

from __future__ import annotations

import numpy as np

from weir.archive.whatif.fraud_times import FraudTimes
from weir.archive.whatif.labels import FRAUD, GOOD, WITHDRAWN, Scanned


def _find(*labels: tuple[int, int, int], of: list[int]) -> tuple[list[int], list[bool]]:
    hashes, times, verdicts = zip(*labels, strict=True) if labels else ((), (), ())
    scanned = Scanned(np.array(hashes, np.uint64), np.array(times, np.int64), np.array(verdicts, np.int8))
    found, labelled = FraudTimes(scanned).find(np.array(of, np.uint64))
    return found.tolist(), labelled.tolist()


def test_of_several_labels_the_newest_is_the_verdict_and_the_first_one_of_fraud_its_time() -> None:
    labels = [(1, 50, FRAUD), (1, 20, FRAUD), (1, 10, GOOD), (2, 30, FRAUD), (2, 40, GOOD), (3, 5, GOOD)]
    assert _find(*labels, of=[3, 1, 2, 4]) == ([-1, 20, -1, -1], [True, True, True, False])


def test_a_withdrawn_label_leaves_no_verdict_and_wins_over_a_label_of_its_time() -> None:
    labels = [
        (1, 50, WITHDRAWN),
        (1, 20, FRAUD),
        (2, 50, WITHDRAWN),
        (2, 50, FRAUD),
        (3, 60, FRAUD),
        (3, 50, WITHDRAWN),
    ]
    assert _find(*labels, of=[1, 2, 3]) == ([-1, -1, 60], [False, False, True])


def test_without_a_label_nothing_is_known() -> None:
    assert _find(of=[1]) == ([-1], [False])
