"""``weir models``, with the archive: it keeps promoted bundles for other hosts, and has what was decided."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from weir.inference.bundle import Manifest
from weir.infra.settings import Settings
from weir.schemas.durations import DAY_MS
from weir.schemas.errors import Refused
from weir.training.choosing import cli
from weir.training.gates.archived import Logged

_ROWS_MAX = 20_000
"""Of what was decided on the newest day that has some: a fault shows in the first few already."""


class _Archive:
    """The archive of the deployment, where there is one."""

    def keep(self, settings: Settings, folder: Path) -> bool:
        """Keep a bundle; False where there is no archive."""
        if not _is_there(settings):
            return False
        from weir.archive.objects import Objects  # noqa: PLC0415 - delta-rs, which only this needs
        from weir.archive.run import find_root  # noqa: PLC0415

        Objects(find_root(settings)).keep_bundle(folder)
        return True

    def read_logged(self, settings: Settings, model: Manifest) -> Logged:
        """Return the newest decisions of a model, with what it saw.

        Raises:
            Refused: there is no archive, or it has no decisions.
            WeirError: it cannot be read.
        """
        if not _is_there(settings):
            raise Refused("there is no archive of what was decided; `weir archive` keeps it")
        from weir.archive.run import find_root  # noqa: PLC0415 - as above
        from weir.archive.whatif.past import Past  # noqa: PLC0415

        past = Past(find_root(settings), settings.stream, settings.topics.of(settings.stream))
        features, scores = [np.empty((0, len(model.features)), np.float32)], [np.empty(0)]
        for part in past.parts(past.newest_ms - DAY_MS, past.newest_ms + 1):
            joined = past.join(part, model.features, ())
            versions = joined.decisions["model_version"].to_pylist()
            recorded = joined.decisions["score"].to_numpy(zero_copy_only=False).astype(np.float64)
            own = np.array([each == model.version for each in versions], np.bool_) & ~np.isnan(recorded)
            features.append(joined.features[own][:_ROWS_MAX])
            scores.append(recorded[own][:_ROWS_MAX])
            if sum(map(len, scores)) >= _ROWS_MAX:
                break
        return Logged(np.concatenate(features), tuple(model.features), np.concatenate(scores))


ARCHIVE = _Archive()


def _is_there(settings: Settings) -> bool:
    return bool(settings.archive.root) or (settings.home / "archive").is_dir()


def main(argv: list[str]) -> int:
    """Run ``weir models``. Exit codes: 0 done or shown, 1 the answer is no, 2 refused or misused."""
    return cli.main(argv, ARCHIVE)
