"""A live stream of made-up events as blocks of records that are ready to send."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from weir.generators.encoding import Encoder
from weir.generators.faults import compute_shifted_ms, draw_duplicates, draw_malformed
from weir.generators.live import LivePlan
from weir.generators.outgoing import Outgoing, merge
from weir.generators.profiles.draw import EventSource
from weir.generators.profiles.profile import Profile
from weir.generators.schedule import due_ms
from weir.generators.seeds import Floats, rng_for


def profile_blocks(profile: Profile, plan: LivePlan, seed: int, encoder: Encoder, topic: str) -> Iterator[Outgoing]:
    """Yield the stream in order. An event's own time is the moment its record is due, unless it is sent late."""
    stream = _Stream(profile, plan, encoder, topic, EventSource(profile, seed, plan.start_ms))
    rng = rng_for(seed, "live", profile.stream.name, plan.start_ms)
    for offset in due_ms(rate_per_second=plan.rate_per_second, seconds=plan.seconds, shape=plan.shape):
        if len(offset):
            yield stream.build_block(rng, plan.start_ms + offset)


@dataclass(frozen=True)
class _Stream:
    profile: Profile
    plan: LivePlan
    encoder: Encoder
    topic: str
    source: EventSource

    def build_block(self, rng: np.random.Generator, due: Floats) -> Outgoing:
        stream, faults = self.profile.stream, self.plan.faults
        events = self.source.draw(due.astype(np.int64))
        times, kinds = compute_shifted_ms(rng, due.astype(np.int64), faults, stream.horizon_ms)
        at = events.schema.get_field_index(stream.time)
        events = events.set_column(at, events.schema.field(at), pa.array(times))
        keys = [str(key).encode() for key in events[stream.key.field].to_pylist()]
        values: list[bytes | None] = [*self.encoder.encode(events)]
        good = Outgoing(self.topic, due, [*keys], values, kinds + Counter(events=len(values)))
        extra = [draw_duplicates(rng, good, faults.duplicates)] if faults.duplicates else []
        if faults.malformed:
            extra.append(draw_malformed(rng, good, events, self.encoder, faults.malformed, stream=stream))
        return merge([good, *extra]) if extra else good
