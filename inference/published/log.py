"""All acts of one stream in their order, and which content is in force. Pure.

A text is content-addressed: a version is named by the hash of what it is made of, a rollback names it again. What is in
force of a kind is the content of its newest act that can be used; which can, its reader finds out, from the newest
on. So garbage, a broken version and a rollback to one leave in force what was.

Each act names the newest one that its author knew. A change of lists after another one is refused, and the author's
command does it again on top: of two changes at one time none is lost. A model that was judged against one that decides
no more is refused too, and so is a proposal that was approved next to another act: of two promotions or approvals at
one time the first counts. A rollback always does.

Cost: an act is some hundred bytes, or as long as a text that it holds.
"""

from __future__ import annotations

from collections.abc import Iterator

from weir.inference.published.act import ALIASES, KINDS, NONE, VERSION_DIGITS, Act, Kind, Logged
from weir.inference.published.proposals.book import ProposalBook
from weir.schemas.errors import Refused

_PREFIX_MIN = 4


class PublishedLog:
    """What was done, act by act.

    Attributes:
        proposals: what somebody proposed, which changes nothing; approving one is an act.
    """

    def __init__(self) -> None:
        """Begin with nothing published."""
        self._acts: dict[Kind, list[Logged]] = {kind: [] for kind in KINDS}
        self._contents: dict[tuple[Kind, str], Logged] = {}
        self._ids: set[str] = set()
        self.proposals = ProposalBook(self.has)

    def take(self, logged: Logged) -> bool:
        """Take the next act; False for one that is there already, sent twice.

        Raises:
            Refused: it does not fit what came before; it changes nothing.
        """
        act = logged.act
        if act.id in self._ids:
            return False
        if self.proposals.is_rejected(act.id):
            raise Refused(f"expected a proposal of {act.kind} that nobody rejected, found one that somebody did")
        if act.action == "change" and act.after != self.newest_id(act.kind):
            raise Refused(f"expected a change of {act.kind} after their newest act, found one after another: somebody "
                          "else was quicker")  # fmt: skip
        checked = act.kind in ALIASES or self.proposals.has(act.id)
        if checked and act.action == "publish" and self._is_overtaken(act):
            raise Refused(f"expected an act of the {act.kind} after the newest one, found one after another: somebody "
                          "else was quicker")  # fmt: skip
        named = act.parent if act.action == "change" else act.hash if act.action == "rollback" else NONE
        if named != NONE and (act.kind, named) not in self._contents:
            raise Refused(f"expected a version of {act.kind} that was published, found {named[:VERSION_DIGITS]}")
        self._ids.add(act.id)
        self._acts[act.kind].append(logged)
        if act.action != "rollback":
            self._contents[act.kind, act.hash] = logged
        return True

    def _is_overtaken(self, act: Act) -> bool:
        """Tell whether its author did not know the newest act; one that this log never had tells nothing."""
        return act.after != self.newest_id(act.kind) and (not act.after or act.after in self._ids)

    def history(self, kind: Kind) -> list[Logged]:
        """Return the acts of a kind, oldest first."""
        return list(self._acts[kind])

    def newest_id(self, kind: Kind) -> str:
        """Return the id of the newest act of a kind; empty for none."""
        acts = self._acts[kind]
        return acts[-1].act.id if acts else ""

    def has(self, act_id: str) -> bool:
        """Tell whether an act was taken."""
        return act_id in self._ids

    def candidates(self, kind: Kind) -> Iterator[Logged]:
        """Yield the acts of a kind, newest first: the content of the first that can be used is in force."""
        return reversed(self._acts[kind])

    def steps(self, kind: Kind, content: str) -> list[Logged]:
        """Return what a content is made of: the act that published a text, then changes, oldest first.

        Raises:
            KeyError: nothing has that hash.
        """
        steps = [self._contents[kind, content]]
        while steps[-1].act.action == "change" and steps[-1].act.parent != NONE:
            steps.append(self._contents[kind, steps[-1].act.parent])
        return steps[::-1]

    def version(self, kind: Kind, content: str) -> str:
        """Return what decisions call a content."""
        return NONE if content == NONE else self._contents[kind, content].act.version

    def find(self, kind: Kind, version: str) -> str:
        """Return the content hash that a version, or the beginning of one, names; of texts alike the newest.

        Raises:
            Refused: none or several.
        """
        if version == NONE:
            return NONE
        versions = {content: logged.act.version for (of, content), logged in self._contents.items() if of == kind}
        exact = [content for content, known in versions.items() if known == version]
        found = [content for content, known in versions.items() if known.startswith(version)]
        if exact or (len(version) >= _PREFIX_MIN and len({versions[content] for content in found}) == 1):
            return (exact or found)[-1]
        there = ", ".join(dict.fromkeys(versions.values())) or "none was published"
        what = "several" if len(version) >= _PREFIX_MIN and found else repr(version[:80])
        raise Refused(f"expected a version of {kind} ({there:.400}), or none, found {what}")
