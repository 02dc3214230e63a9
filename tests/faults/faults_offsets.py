"""Committed offsets moved while the load continues: refused, recovered as the refusal says, nothing lost or doubled."""

from __future__ import annotations

from confluent_kafka import Consumer, TopicPartition

from tests.faults.catalogue import fault
from tests.faults.faults_refused import await_empty_group, expect_refusal, group_consumer, input_of, run_weir
from tests.faults.lab import Lab, Plan
from tests.faults.workers import await_true

MOVABLE_RECORDS = 20


@fault(
    "offsets-moved-forward",
    "a stopped or killed processor's committed offsets moved forward by random amounts; `weir offsets recover --apply`",
    Plan(rate=80),
)
def offsets_moved_forward(lab: Lab) -> None:
    scorer = lab.scorer()
    for number in range(max(2, lab.kills // 5)):
        processor = lab.processor()
        lab.run_until(processor, "committed", 8)
        if lab.random.random() < 0.5:
            processor.kill()
        else:
            processor.stop()
        await_empty_group(lab)
        _move_forward(lab, note_is_kept=number % 2 == 0)
        expect_refusal(lab, "offsets moved forward", "weir offsets recover --apply")
        run_weir(lab, "offsets", "recover", "--apply")
        processor = lab.processor()
        lab.watch_recovery()
        processor.stop()
    lab.finish([lab.processor(), scorer])


def _move_forward(lab: Lab, *, note_is_kept: bool) -> None:
    """Commit offsets between what is committed and the log's end, at least in one partition."""
    consumer = group_consumer(lab)
    try:
        await_true(lambda: bool(_movable(consumer, lab)), "records behind the committed offsets")
        moved = [
            TopicPartition(
                held.topic,
                held.partition,
                held.offset + lab.random.randrange(MOVABLE_RECORDS // 2, end - held.offset + 1),
                metadata=held.metadata if note_is_kept else "",
            )
            for held, end in _movable(consumer, lab)
        ]
        consumer.commit(offsets=moved, asynchronous=False)
        for at in moved:
            lab.moved_to.setdefault((at.topic, at.partition), set()).add(at.offset)
    finally:
        consumer.close()


def _movable(consumer: Consumer, lab: Lab) -> list[tuple[TopicPartition, int]]:
    found = []
    for held in consumer.committed(input_of(lab), timeout=10):
        _, end = consumer.get_watermark_offsets(held, timeout=10)
        if held.offset >= 0 and end - held.offset >= MOVABLE_RECORDS:
            found.append((held, end))
    return found
