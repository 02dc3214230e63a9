"""The bundle, the rules, the lists and the thresholds in force, and how they are replaced while the process runs.

``poll`` is called when nothing is being decided, so no batch is judged by two models or two sets of rules. At most once
a second it looks whether the champion link, the manifest or the lists file is another; it then loads next to the old
one and swaps. A replacement that is refused is logged and metered once, and the old one continues.

What is published (``inference/published``) stands before the champion link, the declaration's rules, the lists file and
the model's own thresholds; where nothing of a kind is published, or it was rolled back to ``none``, those are in force.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

from weir.inference.bundle import Bundle, champion_path, load_bundle, load_champion, load_lists
from weir.inference.canary import Canary
from weir.inference.core.decisions import build_rules_version
from weir.inference.core.lists import Lists
from weir.inference.core.rules import RuleSet
from weir.inference.core.thresholds import ThresholdTable
from weir.inference.published.content import Standing
from weir.inference.published.follow import Follower
from weir.inference.rule_sets import read_rules, rules_of
from weir.infra.settings import Settings
from weir.monitoring import metrics
from weir.monitoring.logs import get_logger
from weir.schemas.errors import Refused

POLL_SECONDS = 1.0

_log = get_logger(__name__)

Signature = tuple[object, ...]


class Following(Protocol):
    """What follows what is published; ``inference.published.follow.Follower`` is the real one."""

    @property
    def standing(self) -> Standing:
        """Return what is in force now; may be another with every call."""
        ...

    def close(self) -> None:
        """Follow no longer."""
        ...


class Champion:
    """What decides the events of a stream now; it changes only inside ``poll``."""

    def __init__(
        self,
        settings: Settings,
        *,
        required: bool = True,
        monotonic: Callable[[], float] = time.monotonic,
        published: Following | None = None,
    ) -> None:
        """Load what is in files; a stream without labels needs no bundle.

        Args:
            settings: of the stream.
            required: refuse without them; else they are awaited, and asking for one tells why there is none.
            monotonic: seconds.
            published: followed by the process; without it nothing published is in force.

        Raises:
            Refused: there is no bundle where there has to be one, or a file is not right.
        """
        self._settings = settings
        self._stream = settings.stream
        self._declared = rules_of(self._stream)
        self._published = published
        self._standing = Standing()
        self._monotonic = monotonic
        self._next_poll = monotonic() + POLL_SECONDS
        self._bundle_seen, self._lists_seen = self._signatures()
        self._linked: Bundle | None = None
        self._filed: Lists | None = None
        self._link_missing = self._lists_missing = self._missing_told = ""
        self._in_use: Bundle | None = None
        self._shadow: Bundle | None = None
        self._canary: Canary | None = None
        self._load_link()
        self._load_lists()
        if required and self.missing:
            raise Refused(self.missing)
        self._tell_model()

    @property
    def missing(self) -> str:
        """Why there is no bundle or no lists yet; empty when there are."""
        return (self._link_missing if self._standing.champion is None else "") or self._lists_missing

    @property
    def bundle(self) -> Bundle:
        """The model in force: the published champion, else the one that the champion link names.

        Raises:
            Refused: no bundle has been right yet.
        """
        bundle = self._standing.champion or self._linked
        if bundle is None or self.missing:
            raise Refused(self.missing)
        return bundle

    @property
    def shadow(self) -> Bundle | None:
        """The model that scores next to it and decides nothing; ``None`` where none is published, or it decides now."""
        return self._shadow

    @property
    def canary(self) -> Canary | None:
        """What decides for a share of the keys; ``None`` where nothing is published, or it decides for all by now."""
        return self._canary

    @property
    def lists(self) -> Lists:
        """The lists in force; raises as ``bundle`` does."""
        if self._filed is None or self.missing:
            raise Refused(self.missing)
        return self._filed if self._standing.lists is None else self._standing.lists

    @property
    def rules(self) -> RuleSet:
        """The rules in force."""
        return self._declared if self._standing.rules is None else self._standing.rules

    @property
    def thresholds(self) -> ThresholdTable | None:
        """The thresholds in force instead of the model's own; ``None`` for these."""
        return self._standing.thresholds

    @property
    def rules_version(self) -> str:
        """What decisions carry; raises as ``bundle`` does."""
        return build_rules_version(self.lists, self.rules, self.thresholds)

    def poll(self) -> bool:
        """Replace what has changed; True when something was."""
        is_other_standing = self._take_published()
        is_other = self._poll_files() or is_other_standing
        if is_other:
            self._tell_model()
        if self.missing != self._missing_told:
            self._missing_told = self.missing
            if self.missing:
                _log.error("bundle_missing", stream=self._stream.name, detail=self.missing)
        return is_other

    def _take_published(self) -> bool:
        if self._published is None or self._published.standing is self._standing:
            return False
        self._standing = self._published.standing
        return True

    def _poll_files(self) -> bool:
        now = self._monotonic()
        if now < self._next_poll:
            return False
        self._next_poll = now + POLL_SECONDS
        bundle_signature, lists_signature = self._signatures()
        is_other_bundle, is_other_lists = bundle_signature != self._bundle_seen, lists_signature != self._lists_seen
        self._bundle_seen, self._lists_seen = bundle_signature, lists_signature
        replaced = [self._load_link()] if is_other_bundle else []
        replaced += [self._load_lists()] if is_other_lists else []
        return any(replaced)

    def close(self) -> None:
        """Follow no longer what is published; what is in force stays."""
        if self._published is not None:
            self._published.close()

    def _load_link(self) -> bool:
        """Load the bundle that the champion link names; one that is refused leaves the one before."""
        try:
            self._linked = load_champion(self._settings) if self._linked is None else self._load_other()
        except Refused as error:
            if self._linked is None:
                self._link_missing = str(error)
            else:
                metrics.BUNDLE_RELOADS.labels(result="refused").inc()
                _log.error("bundle_refused", detail=str(error), goes_on_with=self._linked.manifest.version)
            return False
        self._link_missing = ""
        return True

    def _load_other(self) -> Bundle:
        declares, path = self._settings.declarations_hash, champion_path(self._settings)
        return load_bundle(path, declarations_hash=declares, stream=self._stream)

    def _load_lists(self) -> bool:
        try:
            loaded = load_lists(self._settings)
        except Refused as error:
            if self._filed is None:
                self._lists_missing = str(error)
            else:
                _log.error("lists_refused", detail=str(error), goes_on_with=self._filed.version)
            return False
        if self._filed is not None:
            _log.info("lists_replaced", version=loaded.version)
        self._filed, self._lists_missing = loaded, ""
        return True

    def _tell_model(self) -> None:
        """Say which models are in force, where they are others."""
        bundle = self._standing.champion or self._linked
        shadow = self._standing.shadow
        is_used = shadow is not None and bundle is not None and shadow.manifest == bundle.manifest
        self._replace_shadow(None if is_used else shadow)
        canary = self._standing.canary
        is_used = canary is not None and bundle is not None and canary.bundle.manifest == bundle.manifest
        self._replace_canary(None if is_used else canary)
        if bundle is None or bundle is self._in_use:
            return
        if bundle.lacking:
            _log.warning("no_model", stream=self._stream.name, looked_at=str(bundle.directory), decides="lists, rules")
        if self._in_use is not None:
            _unmeter(self._in_use)
            _log.info("bundle_replaced", name=bundle.manifest.name, version=bundle.manifest.version)
        self._in_use = bundle
        _meter(bundle)

    def _replace_shadow(self, shadow: Bundle | None) -> None:
        if shadow is self._shadow:
            return
        if self._shadow is not None:
            metrics.SHADOW_MODEL_INFO.remove(self._shadow.manifest.name, self._shadow.manifest.version)
        if shadow is not None:
            metrics.SHADOW_MODEL_INFO.labels(shadow.manifest.name, shadow.manifest.version).set(1)
        self._shadow = shadow

    def _replace_canary(self, canary: Canary | None) -> None:
        if canary is self._canary:
            return
        metrics.CANARY_SHARE.clear()
        if canary is not None:
            metrics.CANARY_SHARE.labels(canary.bundle.manifest.name, canary.bundle.manifest.version).set(canary.share)
        self._canary = canary

    def _signatures(self) -> tuple[Signature, Signature]:
        return _sign(champion_path(self._settings) / "manifest.json"), _sign(self._settings.lists_path)


def open_champion(
    settings: Settings, should_stop: Callable[[], bool] = lambda: False, *, required: bool = True
) -> Champion:
    """Return what decides, with all that is published by now in force, and following it.

    Raises:
        Refused: as ``Champion``.
        Transient: the brokers stayed away.
        Stopped: while they were.
    """
    follower = Follower(settings, read_rules)
    with ExitStack() as on_error:
        on_error.callback(follower.close)
        champion = Champion(settings, required=False, published=follower)
        follower.start(should_stop)
        champion.poll()
        if required and champion.missing:
            raise Refused(champion.missing)
        on_error.pop_all()
    return champion


def _sign(path: Path) -> Signature:
    # the resolved path tells a replaced link, inode and time a replaced file
    try:
        found = path.stat()
    except OSError:
        return (str(path.resolve()),)
    return (str(path.resolve()), found.st_ino, found.st_mtime_ns, found.st_size)


def _meter(bundle: Bundle) -> None:
    metrics.BUNDLE_RELOADS.labels(result="loaded").inc()
    manifest = bundle.manifest
    metrics.MODEL_INFO.labels(manifest.name, manifest.version, manifest.declarations_hash).set(1)


def _unmeter(bundle: Bundle) -> None:
    manifest = bundle.manifest
    metrics.MODEL_INFO.remove(manifest.name, manifest.version, manifest.declarations_hash)
