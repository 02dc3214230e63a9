"""A replay of dead letters as a child process that kills itself around its second commit.

``python -m tests.integration.replay_child BATCH before|after|never``.
"""

from __future__ import annotations

import os
import signal
import sys

from weir.infra.kafka.sink import TransactionalOutput
from weir.schemas.errors import WeirError
from weir.streaming.dlq import cli, replay


def main(batch: int, crash: str) -> int:
    """Replay all letters in such batches."""
    replay.BATCH_LETTERS_MAX = batch
    commit, commits = TransactionalOutput._commit, 0

    def crashing(output: TransactionalOutput) -> None:
        nonlocal commits
        commits += 1
        if commits == 2 and crash == "before":
            output._producer.flush(10)
            os.kill(os.getpid(), signal.SIGKILL)
        commit(output)
        if commits == 2 and crash == "after":
            os.kill(os.getpid(), signal.SIGKILL)

    TransactionalOutput._commit = crashing  # type: ignore[method-assign, assignment]
    try:
        return cli.main(["dlq", "replay", "--apply", "--json"])
    except WeirError:
        return 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2]))
