"""Plain words, rightly spelt: an engineer who searches for a thing finds it under the name that everybody gives it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.source import ROOT, find_all, product_files
from tests.payments import FEATURES

PLAIN = {
    "whoever": "anyone who, or what it is: the process, the operator",
    "mend(s|ed|ing)?": "fix, repair",
    "anew": "again",
    "beside": "next to",
    "goes on": "continues",
    "what became of": "the outcome of",
    "(is|are|was|were) away": "unreachable, does not answer",
    "stands? (in|next to|under)(?!\\s+for)": "is in, is next to",
    "(notes?|names|rows|one) of before": "earlier, previous, last",
    "one's own": "your own",
    "ghosts?": "an earlier process of that name",
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


def test_a_file_of_the_product_uses_plain_words() -> None:
    assert find_all(_texts(), lambda path: _find(path.read_text())) == {}


@pytest.mark.parametrize(
    "text",
    [
        "It was mended.",
        "Whoever asks",
        "created anew",
        "beside it",
        "it goes on",
        "a mend",
        "Redis is away",
        "it stands in Redis",
        "two ghosts",
    ],
)
def test_another_word_for_a_plain_one_is_found(text: str) -> None:
    assert len(_find(text)) == 1
    assert _find(f"{text} besides, amend, mention, stands in for, gone away, {FROZEN[0]}") == _find(text)


SPELT = {
    "InForce": "what is in force: a class",
    "followings": "what a process follows: a function's name",
    "NotIn": "Python's name of `not in` in a syntax tree",
    "chanel": "a mistake that the tutorial makes, so that `weir check` finds it",
}
"""What the spell checker takes for a mistake, and why it is none."""


def _misspelt(*paths: Path) -> str:
    """Return what codespell says of files; its lists of mistakes come with it, so it asks no network."""
    command = [str(Path(sys.executable).parent / "codespell"), "--ignore-words-list", ",".join(SPELT)]
    done = subprocess.run([*command, *map(str, paths)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.stdout


def test_no_word_of_the_product_and_its_documents_is_misspelt() -> None:
    assert _misspelt(*_texts()) == ""


def test_a_misspelt_word_is_found(tmp_path: Path) -> None:
    (page := tmp_path / "page.md").write_text("Decisions are " + "recie" + "ved once.\n")
    assert "received" in _misspelt(page)
