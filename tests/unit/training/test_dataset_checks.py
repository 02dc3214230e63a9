from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tests.payments import DAY_MS, FEATURE_NAMES
from tests.unit.training.worlds import START_MS, build_world, make_sound
from weir.schemas.errors import WeirError
from weir.schemas.streams.payments import payments
from weir.training.dataset import Examples, hash_examples
from weir.training.dataset_checks import check_dataset
from weir.training.drift.reference import Reference, build_reference
from weir.training.labels import number_keys

NOW_MS = START_MS + 100 * DAY_MS
Dataset = tuple[Examples, pa.Table]


def _build() -> Dataset:
    examples, labels, _ = build_world(rows=4_000)
    return make_sound(examples), labels


def _last(examples: Examples) -> Reference:
    scores = np.linspace(0, 1, len(examples))
    keys = number_keys(examples.keys)
    return build_reference(examples.features, FEATURE_NAMES, scores, examples.event_time_ms, keys)


def _put(column: str, value: float, rows: slice = slice(0, 3)) -> Callable[[Dataset], Dataset]:
    def plant(dataset: Dataset) -> Dataset:
        features = dataset[0].features.copy()
        features[rows, FEATURE_NAMES.index(column)] = value
        return replace(dataset[0], features=features), dataset[1]

    return plant


def _change(column: str, values: Callable[[pa.Table], object]) -> Callable[[Dataset], Dataset]:
    def plant(dataset: Dataset) -> Dataset:
        labels = dataset[1]
        at = labels.schema.get_field_index(column)
        return dataset[0], labels.set_column(at, column, values(labels))

    return plant


def _repeat_an_event(dataset: Dataset) -> Dataset:
    examples = dataset[0]
    return examples.take(np.sort(np.append(np.arange(len(examples)), [5, 9]))), dataset[1]


def _swap_events(dataset: Dataset) -> Dataset:
    order = np.arange(len(dataset[0]))
    order[[10, 20]] = [20, 10]
    return dataset[0].take(order), dataset[1]


def _delay_events(dataset: Dataset) -> Dataset:
    times, labels = dataset[0].event_time_ms.copy(), dataset[1]
    times[-7:] = NOW_MS + 2 * DAY_MS
    later = labels.set_column(3, "label_time_ms", pa.array(times + DAY_MS))
    return replace(dataset[0], event_time_ms=times), later


def _contradict(dataset: Dataset) -> Dataset:
    again = dataset[1].slice(0, 6)
    again = again.set_column(4, "is_fraud", pc.invert(again["is_fraud"]))
    return dataset[0], pa.concat_tables([dataset[1], again])


FAULTS: dict[str, tuple[Callable[[Dataset], Dataset], str]] = {
    "infinite": (_put("card_amount_sum_1h", np.inf), "card_amount_sum_1h: expected finite numbers, found 3 infinite"),
    "a negative count": (
        _put("card_event_count_1h", -1),
        "card_event_count_1h: expected numbers from 0 on, found 3 such as -1",
    ),
    "a broken count": (
        _put("card_event_count_1h", 1.5),
        "card_event_count_1h: expected whole numbers, found 3 such as 1.5",
    ),
    "a share in percent": (
        _put("card_declined_ratio_1h", 40, slice(0, 4_000)),
        "card_declined_ratio_1h: expected numbers from 0 to 1, found 4,000 such as 40",
    ),
    "a flag of two": (_put("card_device_new_30d", 2), "card_device_new_30d: expected numbers from 0 to 1, found 3"),
    "a column that is gone": (
        _put("card_amount_std_30d", np.nan, slice(0, 4_000)),
        "card_amount_std_30d: expected values as in the last dataset, found none in 4,000 events",
    ),
    "an event twice": (_repeat_an_event, "transaction_id: expected each event once, found 2 again"),
    "events out of order": (
        _swap_events,
        "event_time_ms: expected events in the order of time, found 2 earlier than the one before",
    ),
    "events of tomorrow": (_delay_events, "event_time_ms: expected times up to now, found 7 more than a day later"),
    "labels before their events": (
        _change("label_time_ms", lambda labels: pc.subtract(labels["event_time_ms"], 1)),
        "label_time_ms: expected labels that follow their event, found 4,000 before it",
    ),
    "two verdicts at once": (_contradict, "is_fraud: expected one verdict of an event at a time, found two for 6"),
    "verdicts the wrong way round": (
        _change("is_fraud", lambda labels: pc.invert(labels["is_fraud"])),
        "is_fraud: expected fraud in at most 50% of the labels, found 9",
    ),
    "labels of others": (
        _change("transaction_id", lambda labels: pc.binary_join_element_wise(labels["transaction_id"], "x", "-")),
        "labels: expected labels of these events, found none in 4,000 labels",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_stops_the_run_and_is_named_alone(fault: str) -> None:
    sound = _build()
    plant, said = FAULTS[fault]
    with pytest.raises(WeirError) as stopped:
        check_dataset(*plant(sound), payments, now_ms=NOW_MS, last=_last(sound[0]))
    first, *faults = str(stopped.value).splitlines()
    assert first == "dataset: 1 fault(s), nothing is trained"
    assert faults[0].strip().startswith(said)


def test_all_faults_are_named_at_once() -> None:
    dataset = _build()
    for fault in ("a negative count", "infinite", "two verdicts at once"):
        dataset = FAULTS[fault][0](dataset)
    with pytest.raises(WeirError, match=r"dataset: 3 fault\(s\)"):
        check_dataset(*dataset, payments, now_ms=NOW_MS)


def test_a_sound_dataset_is_described() -> None:
    examples, labels = _build()
    half = labels.slice(0, 2_000)
    report = check_dataset(examples, pa.concat_tables([half, half.slice(0, 5)]), payments, now_ms=NOW_MS)
    assert (report.events, report.labels, report.repeated, report.labelled) == (4_000, 2_005, 5, 0.5)
    assert 0.01 < report.positive < 0.2
    column = report.columns["card_amount_std_30d"]
    assert column.missing == pytest.approx(0.1, abs=0.02)
    assert column.low is not None
    assert column.low >= 0
    assert column.psi is None
    assert report.notes == ()


def test_a_column_that_moved_is_a_note_with_its_figure_and_stops_nothing() -> None:
    examples, labels = _build()
    last = _last(examples)
    features = examples.features.copy()
    features[:, FEATURE_NAMES.index("transaction_amount")] *= 100
    features[:, FEATURE_NAMES.index("card_refund_count_1d")] = 0
    report = check_dataset(replace(examples, features=features), labels, payments, now_ms=NOW_MS, last=last)
    assert [note.partition(": ")[2][:19] for note in report.notes if note.startswith("transaction_amount")] == [
        "far from the last d"
    ]
    assert "card_refund_count_1d: all values that are there are 0" in report.notes
    moved = [name for name, column in report.columns.items() if column.psi is not None and column.psi >= 0.25]
    assert set(moved) == {"transaction_amount", "card_refund_count_1d"}


def test_the_digest_tells_datasets_apart_by_a_value_a_time_a_key_and_a_label() -> None:
    examples, labels = _build()
    sound = hash_examples(examples, labels)
    assert hash_examples(*_build()) == sound
    features, times = examples.features.copy(), examples.event_time_ms.copy()
    features[7, 3] += 1
    times[-1] += 1
    others = [
        (replace(examples, features=features), labels),
        (replace(examples, event_time_ms=times), labels),
        (replace(examples, keys=pc.replace_substring(examples.keys, "card_1", "card_2")), labels),
        (examples, labels.slice(1)),
    ]
    assert len({sound, *(hash_examples(*each) for each in others)}) == 5
