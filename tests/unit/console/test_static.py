"""Files of others: as they were published, with their licence, and no name of a network in any file of the pages."""

import hashlib
import re
from pathlib import Path

import pytest

from weir.console.view import STATIC, read_static, static_path

FOLDER = Path(__file__).parents[3] / "console" / "static"
PUBLISHED = {
    "htmx-2.0.11.min.js": "d6fdc75f204e6bdefa99b69bf1e6d4ac69b8a364f77929f45c13476b4000f717",
    "htmx-LICENSE.txt": "d3d2456f76414f2456104660ebd65aff1c04cd7966b942bdabd63f3cdb316a38",
}
"""Of the package htmx.org 2.0.11: dist/htmx.min.js and LICENSE."""


@pytest.mark.parametrize(("name", "digest"), PUBLISHED.items())
def test_a_file_of_others_is_as_it_was_published(name: str, digest: str) -> None:
    assert hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() == digest


def test_every_file_of_the_pages_is_served() -> None:
    assert {path.name for path in FOLDER.iterdir() if path.suffix != ".txt"} == set(STATIC)


@pytest.mark.parametrize("name", sorted({*STATIC} - {*PUBLISHED}))
def test_our_files_name_no_other_site(name: str) -> None:
    found = re.findall(r"https?://[^\s\"']+", read_static(name).decode())
    assert [url for url in found if url != "http://www.w3.org/2000/svg"] == []


def test_the_path_of_a_file_changes_with_its_content() -> None:
    digest = hashlib.sha256(read_static("console.css")).hexdigest()
    assert static_path("console.css") == f"/static/{digest[:12]}/console.css"


def test_the_pictures_of_the_documents_are_small() -> None:
    pictures = [*(FOLDER.parents[1] / "docs" / "pictures").glob("*.png")]
    assert len(pictures) >= 3
    assert [path.name for path in pictures if path.stat().st_size >= 150_000] == []
