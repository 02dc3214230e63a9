"""Published lists, in memory, and a desk of lists over them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.unit.inference.published.acts import build_act
from tests.unit.inference.published.rules_twin import MemoryPublished, Tries, open_twin
from weir.inference.core.lists import Lists
from weir.inference.published.act import NONE, Act, Kind
from weir.inference.published.content import ContentReader, Standing, write_json
from weir.inference.published.lists_desk import ListsDesk
from weir.inference.published.trials import Trials
from weir.inference.rule_sets import read_rules
from weir.infra.settings import load_settings
from weir.schemas.errors import Refused
from weir.schemas.streams.payments import payments


class MemoryLists(MemoryPublished):
    """Acts of lists, each of which is short."""

    @property
    def standing(self) -> Standing:
        content = self.acts[-1].hash if self.acts else NONE
        if content == NONE:
            return Standing()
        return Standing().put("lists", content, self.build_lists(content))

    def build_lists(self, content: str) -> Lists:
        reader = ContentReader(payments, lambda _: (), read_rules, _read_no_model)
        built = reader.build("lists", self.log.steps("lists", content))
        assert isinstance(built, Lists)
        return built

    def publish(self, kind: Kind, texts: list[str], label: str = "", act_id: str = "") -> Act:
        sides = {side: listed for text in texts for side, listed in json.loads(text).items()}  # each in one part
        return super().publish(kind, [write_json(sides)], label, act_id)

    def change(self, document: dict[str, Any], act_id: str = "") -> Act:
        text, told = write_json(document), {"who": self.who, "why": self.why, "after": self.log.newest_id("lists")}
        told |= {"id": act_id} if act_id else {}
        return self._take(build_act("lists", text, action="change", parent=self.acts[-1].hash, **told))


def _read_no_model(manifest: str) -> Any:
    raise Refused(manifest)


def build_lists(published: MemoryLists, home: Path, tries: Tries | None = None, four_eyes: str = "[]") -> ListsDesk:
    """Return a desk over what is published in memory, next to a lists file in a home where there is one."""
    settings = load_settings({"WEIR_HOME": str(home), "WEIR_PUBLISHING__FOUR_EYES": four_eyes}).of_stream(payments)
    return ListsDesk(settings, open_twin(published, settings), Trials("transactions", tries))
