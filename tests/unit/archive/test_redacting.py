"""An id is taken out of kept lists: no byte of it is left, and the lists still read as the versions that they are."""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import Any

import pytest

from weir.archive.erase_cli import find_erasure
from weir.archive.in_force.redacting import find_texts, redact
from weir.archive.in_force.versions import KeptVersion, Versions
from weir.archive.keeping import Keeper
from weir.archive.objects import Objects, hash_content
from weir.archive.place import Place
from weir.archive.seals.chain import Chain
from weir.archive.seals.key import load_key
from weir.archive.seals.verify import Verified, verify
from weir.inference.published.act import compute_hash
from weir.infra.settings import load_settings
from weir.schemas.errors import Damaged
from weir.schemas.project import load_shipped
from weir.schemas.streams.payments import payments

TOPIC, WANTED, OTHER = "published", "card-000007", "card-0000071"
WHOLE = [
    json.dumps({"block": {"card": [WANTED, OTHER]}, "notes": {"card": {WANTED: "stolen"}}}),
    json.dumps({"allow": {"merchant": ["shop-1"]}}),
]
CHANGE = json.dumps({"remove": {"block": {"card": [WANTED]}}})


class Killed(BaseException):
    """The process ended here."""


class Kept:
    """An archive with three versions: of whole lists, of a change to them, and of a lists file."""

    def __init__(self, folder: Path) -> None:
        self.root = Place(str(folder / "archive"))
        self.chain, self.key = Chain(self.root), load_key(folder / "seals.pem")
        self.keep()

    @property
    def objects(self) -> Objects:
        return Objects(self.root)

    def keep(self) -> list[KeptVersion]:
        versions = Versions(self.objects, TOPIC)
        parents = {"one": ([*WHOLE], ""), "two": ([CHANGE], compute_hash(WHOLE)), "file": ([WHOLE[0]], "")}
        found = []
        for version, (texts, parent) in parents.items():
            content = compute_hash(texts, parent=parent)
            hashes = [versions.keep_text(text.encode()) for text in texts]
            found.append(
                KeptVersion(
                    kind="lists", version=version, content=content, texts=hashes, parent=parent, source="published"
                )
            )
            versions.keep(found[-1])
        return found

    def seal(self) -> None:
        Keeper(self.objects, self.chain, self.key, {}, {})._seal_files()

    def erase(self) -> int:
        texts = find_texts(self.objects, [TOPIC], WANTED)
        redact(texts, self.objects, self.chain, self.key, at_ms=1)
        return len(texts)

    def verify(self) -> Verified:
        return verify(self.chain, {}, self.objects)

    def documents(self) -> list[Any]:
        versions = Versions(self.objects, TOPIC)
        return [json.loads(text) for kept in self.keep() for text in versions.read_texts(kept)]


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    found = Kept(tmp_path)
    found.seal()
    return found


def _holding(kept: Kept) -> list[Path]:
    files = [path for path in Path(kept.root.uri).rglob("*") if path.is_file()]
    return [path for path in files if f'"{WANTED}"'.encode() in path.read_bytes()]


def test_no_byte_of_the_id_is_left_in_any_list_and_everything_else_is(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secrets, "token_hex", lambda _: "11")
    assert len(_holding(kept)) == 2
    assert kept.erase() == 2
    assert _holding(kept) == []
    whole, allowed, change, of_file = kept.documents()
    assert (
        whole
        == of_file
        == {
            "block": {"card": ["erased-11", OTHER]},
            "notes": {"card": {"erased-11": "stolen"}},
        }
    )
    assert (allowed, change) == (json.loads(WHOLE[1]), {"remove": {"block": {"card": ["erased-11"]}}})
    assert kept.verify().findings == []


def test_what_is_kept_again_does_not_bring_it_back_and_a_second_run_finds_nothing(kept: Kept) -> None:
    kept.erase()
    length = kept.chain.read_length()
    kept.keep()
    kept.seal()
    assert _holding(kept) == []
    assert kept.erase() == 0
    assert kept.chain.read_length() == length


@pytest.mark.parametrize("survived", range(4))
def test_a_run_that_ends_anywhere_is_finished_by_the_next(
    kept: Kept, monkeypatch: pytest.MonkeyPatch, survived: int
) -> None:
    write, calls = Objects.replace, [0]

    def end(objects: Objects, path: str, content: bytes) -> None:
        if calls[0] == survived:
            raise Killed
        calls[0] += 1
        write(objects, path, content)

    with monkeypatch.context() as patched:
        patched.setattr(Objects, "replace", end)
        with pytest.raises(Killed):
            kept.erase()
    kept.documents()
    kept.erase()
    assert _holding(kept) == []
    assert kept.verify().findings == []


def test_a_redacted_text_that_is_changed_is_still_found_and_not_read(kept: Kept) -> None:
    kept.erase()
    (marker, *_) = sorted(Path(kept.root.uri, "_objects").glob("*.redacted"))
    text = marker.with_suffix("")
    text.write_bytes(text.read_bytes() + b" ")
    assert [each.where for each in kept.verify().findings] == [f"_objects/{text.name}"]
    with pytest.raises(Damaged, match="found other bytes"):
        kept.documents()


def test_lists_that_were_kept_while_the_topic_had_another_name_are_looked_through_and_those_of_others_are_not(
    tmp_path: Path,
) -> None:
    kept = Kept(tmp_path)  # under a name that no stream has
    settings = load_settings({"WEIR_HOME": str(tmp_path)})
    other = json.dumps({"watch": {"card": [WANTED]}})
    versions = Versions(kept.objects, settings.topics.of(load_shipped("clicks").stream).published)
    texts, content = [versions.keep_text(other.encode())], compute_hash([other])
    versions.keep(KeptVersion(kind="lists", version="one", content=content, texts=texts, source="published"))
    found = find_erasure(settings, kept.root, [payments], f"card={WANTED}").texts
    assert {each.sha256 for each in found} == {hash_content(text.encode()) for text in (WHOLE[0], CHANGE)}
