"""Two streams behind keys, each with one thing of each kind that it can be asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.unit.inference.filled import Filled
from tests.unit.inference.memory_keys import MemoryKeys
from tests.unit.inference.test_api_streams import REFUNDS, Streams
from tests.unit.inference.twins import Client, MemoryAudit, MemoryCalls
from weir.access.key import Key, Scope, build_key, hash_text, make_text
from weir.inference.api.app import build_api
from weir.inference.api.stream_paths import StreamParts
from weir.inference.api.uploads.desk import Read, UploadDesk
from weir.inference.champion import Champion
from weir.infra.settings import Settings
from weir.infra.upload_settings import UploadSettings
from weir.infra.uploads.folders import UploadFolders
from weir.infra.uploads.reading import read_in_child
from weir.streaming.kernels import kernel_of

OURS, THEIRS = "transactions", "refunds"


class Served:
    """Two streams behind keys: ``ours``, which is the default one, and ``theirs``."""

    def __init__(self, home: Path, read: Read = read_in_child) -> None:
        streams = Streams(home)
        streams.give_model()
        self.guard = streams.world.guard
        self.keys: dict[str, Key] = {}
        folders = {name: UploadFolders(home / "uploads" / name) for name in (OURS, THEIRS)}
        self.uploads = UploadDesk(folders, UploadSettings(kept_max=1_000), read=read)
        refunds = StreamParts(
            kernel=kernel_of(REFUNDS),
            reader=streams.partials,
            decisions=streams.decisions,
            champion=Champion(Settings(home=home).of_stream(REFUNDS), required=False),
            publisher=streams.publisher,
            models_dir=home / "models" / THEIRS,
            decide=streams.world.served.decide,
        )
        self.ours = Filled(home, streams.world.served, self.uploads, "our", 17)
        self.theirs = Filled(home, refunds, self.uploads, "their", 100)
        self.audit = MemoryAudit()
        self.calls = MemoryCalls(self.audit.records)
        self.publisher = self.ours.publisher
        served = [self.ours.parts, self.theirs.parts]
        parts = replace(streams.world.parts, streams=served, find_key=self.keys.get)
        self.parts = replace(parts, audit=self.audit, keys=MemoryKeys(self.keys), calls=self.calls)
        self.app = build_api(self.parts)
        self.client = Client(self.app)

    def new_key_id(self) -> str:
        """Make a key that opens nothing but scores; return its id."""
        self.key(Scope.SCORE)
        return list(self.keys.values())[-1].id

    def close(self) -> None:
        """Stop what runs."""
        for each in (self.uploads, self.ours, self.theirs, self.guard):
            each.close()

    def key(self, *scopes: Scope, streams: tuple[str, ...] = ()) -> dict[str, str]:
        """Make a key; return the headers that carry it."""
        key_id, text = make_text()
        self.keys[text] = build_key(key_id, hash_text(text), "test", scopes, streams, now_ms=0, by="test")
        return {"authorization": f"Bearer {text}"}

    def operations(self) -> list[tuple[str, str]]:
        """Return method and path of all that is served, by the routes themselves: a document may leave some out."""
        routes: list[Any] = []
        for route in self.app.routes:
            routes += route.original_router.routes if hasattr(route, "original_router") else [route]
        return [(min(route.methods), route.path.replace(":path", "")) for route in routes]
