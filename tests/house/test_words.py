"""Plain words: an engineer who searches for a thing finds it under the name that everybody gives it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.house.source import ROOT, name_of, product_files
from weir.schemas.features import FEATURES

PLAIN = {
    "whoever": "anyone who, or what it is: the process, the operator",
    "mend(s|ed|ing)?": "fix, repair",
    "anew": "again",
    "beside": "next to",
    "goes on": "continues",
}
FROZEN = sorted({feature.why for feature in FEATURES}, key=len, reverse=True)
"""Part of the Avro schema of features, so they stay as they were written."""
NOT_OURS_TO_EDIT = {"docs/results/field.md"}  # a record of what was reported, in the words of then


def _texts() -> list[Path]:
    documents = (ROOT / "docs").rglob("*.md")
    pages = [ROOT / "tests" / "README.md", *ROOT.glob("*.md"), *(ROOT / ".github").rglob("*.md")]
    rules = [*(ROOT / "monitoring").rglob("*.yml"), ROOT / "Makefile", ROOT / ".env.example"]
    kept = {ROOT / name for name in NOT_OURS_TO_EDIT}
    return sorted({*product_files(), *documents, *pages, *rules} - kept)


def _find(text: str) -> dict[str, str]:
    for why in FROZEN:
        text = text.replace(why, "")
    words = {word: re.search(rf"\b({word})\b", text, re.IGNORECASE) for word in PLAIN}
    return {found.group(): PLAIN[word] for word, found in words.items() if found}


@pytest.mark.parametrize("path", _texts(), ids=name_of)
def test_a_file_of_the_product_uses_plain_words(path: Path) -> None:
    assert _find(path.read_text()) == {}


@pytest.mark.parametrize(
    "text", ["It was mended.", "Whoever asks", "created anew", "beside it", "it goes on", "a mend"]
)
def test_another_word_for_a_plain_one_is_found(text: str) -> None:
    assert len(_find(text)) == 1
    assert _find(f"{text} besides, amend, mention, {FROZEN[0]}") == _find(text)
