"""Checks the seals themselves: that none was altered, taken out or put in, and who signed. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from weir.archive.seals.chain import Stored
from weir.archive.seals.findings import (
    HEAD_MISSING,
    KEY_UNKNOWN,
    SEAL_ALTERED,
    SEAL_MISSING,
    SEAL_UNSIGNED,
    Finding,
    name_seal,
)
from weir.archive.seals.key import is_signed
from weir.archive.seals.seal import Seal, hash_text, read_seal, skip_of
from weir.schemas.errors import Damaged


@dataclass
class CheckedChain:
    """What the chain says, as far as it can be believed.

    Attributes:
        seals: that could be read, in order.
        findings: what is wrong.
        head: the newest seal as it is kept; None where there is none.
    """

    seals: list[Seal] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    head: Stored | None = None


def check_chain(stored: Iterable[Stored], *, expect: str = "", public_keys: Collection[str] = ()) -> CheckedChain:
    """Check seals in the order of their numbers, from the first.

    A seal that was altered is named once, by its own number: its text no longer has the hash that the next one carries.

    Args:
        stored: all of them.
        expect: a hash that was kept elsewhere; some seal has it.
        public_keys: those that may have signed; none where they are not known.

    Raises:
        Refused: a newer release wrote them.
    """
    checked, hashes = CheckedChain(), {0: ""}
    for each in stored:
        sequence, previous = each.sequence, max(hashes)
        checked.findings += [
            Finding(SEAL_MISSING, name_seal(missing)) for missing in range(previous + 1, sequence)
        ] + _check_signature(each, public_keys)
        hashes[sequence] = hash_text(each.text)
        seal = _read(each)
        if seal is None or hashes[sequence] != each.hash:
            checked.findings.append(Finding(SEAL_ALTERED, name_seal(sequence)))
        if seal is not None:
            checked.seals.append(seal)
            checked.findings += _check_links(seal, hashes)
        checked.head = each
    if expect and expect not in hashes.values():
        checked.findings.append(Finding(HEAD_MISSING, f"hash {expect}"))
    checked.findings = list(dict.fromkeys(checked.findings))
    return checked


def _read(stored: Stored) -> Seal | None:
    try:
        seal = read_seal(stored.text)
    except Damaged:
        return None
    return seal if seal.sequence == stored.sequence else None


def _check_signature(stored: Stored, public_keys: Collection[str]) -> list[Finding]:
    if not is_signed(stored.hash, signature=stored.signature, public=stored.public_key):
        return [Finding(SEAL_UNSIGNED, name_seal(stored.sequence))]
    if public_keys and stored.public_key not in public_keys:
        return [Finding(KEY_UNKNOWN, name_seal(stored.sequence))]
    return []


def _check_links(seal: Seal, hashes: dict[int, str]) -> list[Finding]:
    links = {seal.sequence - 1: seal.previous, skip_of(seal.sequence): seal.skip}
    return [
        Finding(SEAL_ALTERED, name_seal(linked))
        for linked, carried in links.items()
        if linked in hashes and hashes[linked] != carried
    ]
