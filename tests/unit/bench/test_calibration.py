"""The bench of calibration passes what it shows: the right coverage, known well enough."""

from __future__ import annotations

import pytest

from tests.bench.calibration import is_shown
from weir.training.calibration.measure import Share


@pytest.mark.parametrize(
    ("share", "shown"),
    [
        (Share(0.90, 0.885, 0.915), True),
        (Share(0.915, 0.90, 0.93), True),
        (Share(0.875, 0.865, 0.885), False),  # too low, though the interval reaches into the range
        (Share(0.925, 0.915, 0.935), False),
        (Share(0.90, 0.85, 0.93), False),  # in the range by chance, as far as few seeds can tell
    ],
)
def test_a_coverage_is_shown_to_hold_where_it_is_in_its_range_and_few_seeds_do_not_decide(
    share: Share, shown: bool
) -> None:
    assert is_shown(share) is shown
