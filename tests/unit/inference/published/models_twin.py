"""Choices of models, in memory, and a desk over them."""

from __future__ import annotations

from pathlib import Path

from tests.unit.inference.published.acts import build_act
from tests.unit.inference.published.rules_twin import MemoryPublished, open_twin
from weir.inference.published.act import ALIASES, NONE, Act, Alias
from weir.inference.published.content import Standing
from weir.inference.published.models_desk import ModelsDesk
from weir.infra.settings import load_settings
from weir.schemas.streams.payments import payments


class MemoryChoices(MemoryPublished):
    """Acts about models, whose texts nobody reads."""

    @property
    def standing(self) -> Standing:
        newest = {act.kind: act.hash for act in self.acts}
        return Standing(tuple((alias, newest.get(alias, NONE)) for alias in ALIASES))

    def choose(self, alias: Alias, version: str, *, who: str = "anna", why: str = "more trees") -> Act:
        """Have somebody publish a model under an alias; ``none`` rolls it back."""
        after = self.log.newest_id(alias)
        if version == NONE:
            return self._take(build_act(alias, None, hash=NONE, who=who, why=why, after=after))
        return self._take(build_act(alias, f"{alias} {version}", label=version, who=who, why=why, after=after))


def build_models(published: MemoryChoices, home: Path) -> ModelsDesk:
    """Return a desk over what is published in memory."""
    settings = load_settings({"WEIR_HOME": str(home)}).of_stream(payments)
    return ModelsDesk(open_twin(published, settings))
