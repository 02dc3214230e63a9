"""A published manifest finds its bundle by content: in the models folder, else in the archive, else it says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.inference.bundles import write_bundle
from weir.archive.objects import Objects
from weir.archive.run import find_root
from weir.inference.model_store import list_folders, load_published, read_published
from weir.inference.published.settle import NotHere
from weir.infra.settings import Settings
from weir.schemas.errors import Refused
from weir.schemas.streams.payments import payments


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


def _text(folder: Path) -> str:
    return (folder / "manifest.json").read_text()


def test_a_bundle_is_found_by_what_its_manifest_says_whatever_its_folder_is_called(settings: Settings) -> None:
    write_bundle(settings.models_dir / "other", version="2")
    wanted = write_bundle(settings.models_dir / "called-anything", version="3")
    bundle = load_published(settings, _text(wanted))
    assert (bundle.manifest.version, bundle.directory) == ("3", wanted.resolve())


def test_a_bundle_that_is_not_here_is_fetched_from_the_archive_and_kept(settings: Settings, tmp_path: Path) -> None:
    elsewhere = write_bundle(tmp_path / "elsewhere", version="3")
    Objects(find_root(settings)).keep_bundle(elsewhere)
    bundle = load_published(settings, _text(elsewhere))
    assert bundle.manifest.version == "3"
    (kept,) = list_folders(settings.models_dir)
    assert _text(kept) == _text(elsewhere)
    (settings.home / "archive").rename(tmp_path / "gone")
    assert load_published(settings, _text(elsewhere)).directory == kept.resolve()


def test_an_object_of_the_archive_that_was_changed_is_not_used(settings: Settings, tmp_path: Path) -> None:
    elsewhere = write_bundle(tmp_path / "elsewhere", version="3")
    Objects(find_root(settings)).keep_bundle(elsewhere)
    (model,) = list((settings.home / "archive" / "_objects").iterdir())
    model.write_bytes(b"another")
    with pytest.raises(NotHere):
        load_published(settings, _text(elsewhere))
    assert list(list_folders(settings.models_dir)) == []


def test_a_bundle_that_is_nowhere_says_where_it_was_looked_for(settings: Settings, tmp_path: Path) -> None:
    elsewhere = write_bundle(tmp_path / "elsewhere")
    with pytest.raises(NotHere, match=r"expected the bundle of model tiny 1 in .*models or in the archive, found none"):
        load_published(settings, _text(elsewhere))


def test_a_bundle_whose_model_is_another_is_refused_whole(settings: Settings) -> None:
    folder = write_bundle(settings.models_dir / "broken")
    (folder / "model.onnx").write_bytes(b"another")
    with pytest.raises(Refused, match=r"expected model\.onnx with sha256"):
        load_published(settings, _text(folder))


def test_a_bundle_of_other_declarations_is_refused_by_its_manifest_alone(tmp_path: Path) -> None:
    text = _text(write_bundle(tmp_path / "old", declarations_hash="another"))
    with pytest.raises(Refused, match="trained on declarations another"):
        read_published(payments, text)
    with pytest.raises(Refused, match="expected the manifest of a bundle"):
        read_published(payments, '{"name": 1}')
