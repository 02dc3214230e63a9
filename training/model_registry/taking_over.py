"""``weir models sync``: what a person moved in MLflow is published after its gates, an alias that is behind is moved.

An alias that cannot be taken over stays where it is, and what settles it is said.
"""

from __future__ import annotations

from collections.abc import Callable

from weir.inference.published import bundles
from weir.inference.published.act import ALIASES, NONE, Alias
from weir.inference.published.publish import Publisher
from weir.infra.settings import Settings
from weir.monitoring.terminal import build_table, print_tables
from weir.training.choosing.publishing import take_back
from weir.training.choosing.view import write_json
from weir.training.model_registry.aliases import NAMES, Verdict
from weir.training.model_registry.following import Seen, look, put, register
from weir.training.model_registry.store import open_registry

Publish = Callable[[Alias, str], bool]
"""Has an alias name the bundle of a content; False when a gate is not passed, and nothing was published."""
_LEFT = "left as it is"
_COLUMNS = ("alias", "published", "what was done")


def sync(
    settings: Settings, publisher: Publisher, publish: Publish, *, has_share: bool, put_back: bool, as_json: bool
) -> int:
    """Settle every alias. Exit codes: 0 MLflow says what is published, 1 an alias is left as it is.

    Args:
        settings: of the stream.
        publisher: that rolls back.
        publish: what a promotion does, or of a canary what starts one.
        has_share: it is known of which share of the keys a canary would decide; without one none is started.
        put_back: publish nothing, and put each alias back to what is published.
        as_json: how it is shown.

    Raises:
        Refused: an alias names a bundle that cannot be published.
        Transient: MLflow or the brokers do not answer.
    """
    why = publisher.why
    with open_registry(settings) as registry:
        register(registry, bundles.list_all(settings, publisher))
    done: list[tuple[Alias, str]] = []
    for alias in ALIASES:
        publisher.why = why
        with open_registry(settings) as registry:
            seen = next(each for each in look(settings, publisher, registry) if each.alias == alias)
            is_settled = put_back or seen.verdict in {Verdict.AGREED, Verdict.BEHIND} or _is_champion_off(seen)
            if is_settled:
                put(registry, seen)
        taken = has_share or alias != "canary"
        done.append(
            (alias, _say_put(seen) if is_settled else _settle(settings, publisher, publish if taken else None, seen))
        )
    _show(settings, publisher, done, as_json=as_json)
    return 1 if any(text.startswith(_LEFT) for _, text in done) else 0


def _is_champion_off(seen: Seen) -> bool:
    """Something has to decide, so an alias that was taken off the champion is put back."""
    return seen.alias == "champion" and seen.verdict is Verdict.MOVED and seen.wanted == NONE


def _say_put(seen: Seen) -> str:
    if seen.verdict is Verdict.AGREED:
        return "nothing: both agree"
    return "moved to what is published" if seen.verdict is Verdict.BEHIND else "put back to what is published"


def _settle(settings: Settings, publisher: Publisher, publish: Publish | None, seen: Seen) -> str:
    if seen.verdict is Verdict.BOTH:
        return f"{_LEFT}: it was moved, and something else was published; promote what is meant, or --put-back"
    if seen.wanted == NONE:
        take_back(settings, publisher, seen.alias)
        return "ended, as it was taken off in MLflow"
    if not seen.number:
        return f"{_LEFT}: {seen.wanted} in MLflow is of no bundle of ours; import its bundle first"
    if publish is None:
        return f"{_LEFT}: a canary needs a share of the keys; `weir models sync --share 5%` starts it, or --put-back"
    publisher.why = f"{publisher.why}: {' and '.join(NAMES[seen.alias])} names version {seen.number}"
    if publish(seen.alias, seen.wanted):
        watched = "; `weir models watch` has its guard" if seen.alias == "canary" else ""
        return f"published version {seen.number} of MLflow{watched}"
    return f"{_LEFT}: a gate is not passed; --force WHY publishes it, --put-back moves it back"


def _show(settings: Settings, publisher: Publisher, done: list[tuple[Alias, str]], *, as_json: bool) -> None:
    rows = []
    for alias, text in done:
        found = bundles.find_role(settings, publisher, alias)
        rows.append((alias, found.manifest.version if found else NONE, text))
    if as_json:
        for row in rows:
            write_json(dict(zip(("alias", "version", "done"), row, strict=True)))
    else:
        print_tables([build_table(_COLUMNS, rows)])
