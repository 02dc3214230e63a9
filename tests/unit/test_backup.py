"""A backup is whole or not there, every bit of it is checked, and what cannot be put back changes nothing."""

from __future__ import annotations

import hashlib
import io
import json
import lzma
import os
import signal
import sqlite3
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

import weir.backup.gather
from tests.integration.command_line import Weir, run_in_process
from weir.access.audit.pseudonym import load_pseudonyms
from weir.access.key import Scope, build_key, hash_text, make_text
from weir.access.store import KeyStore
from weir.backup.calls import NONE, Wanted
from weir.backup.gather import gather, staging
from weir.backup.manifest import DATABASE, read_manifest
from weir.backup.pack import read_pack
from weir.gdpr.erasures import Entry, add_entry, add_lines, list_path, read_entries
from weir.infra.database.engine import open_database
from weir.infra.settings import Settings, load_settings
from weir.schemas.errors import Damaged, Refused

DIES = """
import os, signal, sys
import weir.backup.cli as cli
import weir.backup.pack as pack

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

step = sys.argv.pop(1)
cli._do_nothing = lambda name: die() if name == step else None
if step == "packed":
    pack.read_pack = die
sys.exit(cli.main(sys.argv[1:]))
"""


@pytest.fixture
def weir_(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Iterator[Weir]:
    monkeypatch.chdir(tmp_path)
    yield from run_in_process(monkeypatch, capsys)


@pytest.fixture
def there(tmp_path: Path) -> Settings:
    """A deployment with a key, somebody who was erased, and lists."""
    settings = load_settings({"WEIR_HOME": str(tmp_path / "there")})
    add_key(settings, "checkout")
    load_pseudonyms(settings.home)
    add_entry(settings.home, Entry(5, "card", "a" * 32))
    (settings.home / "lists.json").write_text('{"block": {}}')
    return settings


@pytest.fixture
def here(tmp_path: Path) -> Settings:
    return load_settings({"WEIR_HOME": str(tmp_path / "here")})


@pytest.fixture
def copy(weir_: Weir, there: Settings, tmp_path: Path) -> Path:
    path = tmp_path / "backup.tar.xz"
    assert weir_(there, "backup", str(path), "--calls", "none")[0] == 0
    return path


def add_key(settings: Settings, name: str) -> None:
    key_id, text = make_text()
    with closing(KeyStore(open_database(settings))) as store:
        store.add(build_key(key_id, hash_text(text), name, [Scope.READ], (), now_ms=1, by="me"))


def names_of_keys(settings: Settings) -> list[str]:
    with closing(KeyStore(open_database(settings))) as store:
        return [key.name for key in store.list_keys()]


def files_of(home: Path) -> dict[str, bytes]:
    """Return every file of a home but the database."""
    found = (path for path in home.rglob("*") if path.is_file() and not path.name.startswith("weir.db"))
    return {path.relative_to(home).as_posix(): path.read_bytes() for path in found}


def pack_again(path: Path, change: Callable[[dict[str, bytes]], object]) -> None:
    """Write a backup again with other members, each checksum of ``xz`` and ``tar`` in order."""
    with tarfile.open(path, "r:xz") as tar:
        members = {each.name: tar.extractfile(each).read() for each in tar.getmembers()}  # type: ignore[union-attr]
    change(members)
    with tarfile.open(path, "w:xz") as tar:
        for name, content in members.items():
            described = tarfile.TarInfo(name)
            described.size = len(content)
            tar.addfile(described, io.BytesIO(content))


def change_manifest(**changes: object) -> Callable[[dict[str, bytes]], object]:
    def change(members: dict[str, bytes]) -> None:
        members["manifest.json"] = json.dumps(json.loads(members["manifest.json"]) | changes).encode()

    return change


def test_what_is_put_back_is_what_was_there_and_nobody_else_reads_it(
    weir_: Weir, there: Settings, here: Settings, copy: Path
) -> None:
    code, said, _ = weir_(here, "restore", str(copy))
    assert (code, "nothing was changed" in said, files_of(here.home)) == (0, True, {})
    code, said, _ = weir_(here, "restore", str(copy), "--apply")
    assert code == 0
    assert "weir gdpr again --apply" in said
    assert names_of_keys(here) == ["checkout"]
    assert files_of(here.home) == files_of(there.home)
    assert set(files_of(here.home)) == {"keys/audit.key", "erasures.jsonl", "lists.json"}
    private = [copy, *(path for path in here.home.rglob("*") if path.is_file())]
    assert [oct(path.stat().st_mode & 0o777) for path in private] == [oct(0o600)] * len(private)


def test_a_backup_is_named_by_the_time_in_a_folder_and_is_never_written_over_a_file(
    weir_: Weir, there: Settings, copy: Path, tmp_path: Path
) -> None:
    content = copy.read_bytes()
    weir_.assert_refused(there, "backup", str(copy), "--calls", "none", says=["expected a new file", str(copy)])
    assert copy.read_bytes() == content
    folder = tmp_path / "backups"
    folder.mkdir()
    assert weir_(there, "backup", str(folder), "--calls", "none")[0] == 0
    (named,) = folder.iterdir()
    assert named.name.startswith("weir-2")
    assert named.name.endswith("Z.tar.xz")


def test_machines_are_told_what_is_in_it_and_whether_it_is_put_back(
    weir_: Weir, there: Settings, here: Settings, tmp_path: Path
) -> None:
    path = str(tmp_path / "told.tar.xz")
    made = json.loads(weir_(there, "backup", path, "--calls", "none", "--json")[1])
    assert (made["file"], made["rows"]["api_keys"], made["calls"]["count"]) == (path, 1, 0)
    for flags, applied in (([], False), (["--apply"], True)):
        told = json.loads(weir_(here, "restore", path, "--json", *flags)[1])
        assert told == made | {"applied": applied}


def test_a_bit_that_turned_anywhere_is_found(copy: Path, tmp_path: Path) -> None:
    content, turned = copy.read_bytes(), tmp_path / "turned"
    for place in range(len(content)):
        turned.write_bytes(content[:place] + bytes([content[place] ^ 1 << place % 8]) + content[place + 1 :])
        with pytest.raises(Damaged, match="damaged, cut off or something else"):
            read_pack(turned)
    assert read_pack(copy).rows["api_keys"] == 1


def test_a_backup_that_is_cut_off_is_found_at_any_length(copy: Path, tmp_path: Path) -> None:
    content, cut = copy.read_bytes(), tmp_path / "cut"
    for length in range(0, len(content), 7):
        cut.write_bytes(content[:length])
        with pytest.raises(Damaged, match="nothing was changed"):
            read_pack(cut)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", lzma.compress(b"no tar"), b"a text\n" * 1_000])
def test_another_file_is_one_sentence_and_no_home_is_made_for_it(
    weir_: Weir, here: Settings, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "other").write_bytes(content)
    code, _, said = weir_(here, "restore", str(tmp_path / "other"), "--apply")
    assert (code, len(said.splitlines())) == (1, 1)
    assert "expected a whole backup of weir" in said
    assert not here.home.exists()


@pytest.mark.parametrize(
    ("change", "code", "says"),
    [
        (change_manifest(format=2), 2, "a newer version of weir wrote it"),
        (change_manifest(project="another"), 2, "the project another"),
        (change_manifest(revision="9999"), 1, "expected the rows that the backup's manifest says"),
        (change_manifest(rows={"api_keys": 2}), 1, "expected the rows that the backup's manifest says"),
        (change_manifest(members=[]), 1, "expected the members of a backup"),
        (change_manifest(members=7), 1, "expected the manifest of a backup"),
        (lambda members: members.update({"keys/audit.key": b"0" * 65}), 1, "keys/audit.key as it was written"),
        (lambda members: members.pop("lists.json"), 1, "expected lists.json"),
        (lambda members: members.update({"weir.db": b""}), 1, "found another member"),
        (lambda members: members.pop("manifest.json"), 1, "expected its manifest first"),
    ],
)
def test_a_backup_of_another_kind_is_one_sentence_and_changes_nothing(
    weir_: Weir, here: Settings, copy: Path, change: Callable[[dict[str, bytes]], object], code: int, says: str
) -> None:
    pack_again(copy, change_manifest())
    assert weir_(here, "restore", str(copy))[0] == 0  # so it is the change that is found
    pack_again(copy, change)
    found, _, said = weir_(here, "restore", str(copy), "--apply")
    assert (found, len(said.splitlines()), says in said) == (code, 1, True), said
    assert files_of(here.home) == {}
    assert names_of_keys(here) == []


def test_a_member_has_its_place_and_no_other(copy: Path) -> None:
    text = read_pack(copy).to_json()
    for name in ("../outside", "/etc/passwd", "keys/../../x", "lists/../../x.json", "weir.db", "stack.env"):
        with pytest.raises(Damaged, match="members"):
            read_manifest(text.replace(b"lists.json", name.encode()))


def change_database(members: dict[str, bytes]) -> None:
    """Have a newer version's tables in a backup, with the checksums of its manifest in order."""
    path = Path("changed.sqlite")
    path.write_bytes(members[DATABASE])
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        file.execute("UPDATE alembic_version SET version_num = '9999'")
    members[DATABASE] = path.read_bytes()
    known = json.loads(members["manifest.json"])["members"]
    new = {"size": len(members[DATABASE]), "sha256": hashlib.sha256(members[DATABASE]).hexdigest()}
    changed = [each | new if each["name"] == DATABASE else each for each in known]
    change_manifest(members=changed, revision="9999")(members)


def test_tables_of_a_newer_version_are_refused(weir_: Weir, there: Settings, here: Settings, copy: Path) -> None:
    pack_again(copy, change_database)
    weir_.assert_refused(here, "restore", str(copy), "--apply", says=["newer"])
    assert files_of(here.home) == {}
    assert weir_(there, "backup", "whole.tar.xz", "--calls", "none")[0] == 0
    with closing(sqlite3.connect(there.home / "weir.db", isolation_level=None)) as file:
        file.execute("UPDATE alembic_version SET version_num = '9999'")
    weir_.assert_refused(there, "backup", "new.tar.xz", "--calls", "none", says=["newer"])
    assert not Path("new.tar.xz").exists()
    with closing(sqlite3.connect(here_database(here), isolation_level=None)) as file:
        file.execute("UPDATE alembic_version SET version_num = '9999'")
    weir_.assert_refused(here, "restore", "whole.tar.xz", "--apply", says=["newer"])


def here_database(settings: Settings) -> Path:
    open_database(settings).dispose()
    return settings.home / "weir.db"


def test_what_is_there_already_is_left_alone(weir_: Weir, here: Settings, copy: Path) -> None:
    add_key(here, "mine")
    weir_.assert_refused(here, "restore", str(copy), "--apply", says=["api_keys", "WEIR_HOME"])
    assert (names_of_keys(here), files_of(here.home)) == (["mine"], {})


def test_another_audit_key_is_refused_and_the_same_one_is_taken(
    weir_: Weir, there: Settings, here: Settings, copy: Path
) -> None:
    load_pseudonyms(here.home)
    before = files_of(here.home)
    weir_.assert_refused(here, "restore", str(copy), "--apply", says=["audit.key", "move it away"])
    assert (files_of(here.home), names_of_keys(here)) == (before, [])
    (here.home / "keys" / "audit.key").write_bytes((there.home / "keys" / "audit.key").read_bytes())
    assert weir_(here, "restore", str(copy), "--apply")[0] == 0
    assert names_of_keys(here) == ["checkout"]


def test_of_two_lists_of_erasures_the_lines_of_both_are_kept(weir_: Weir, here: Settings, copy: Path) -> None:
    open_database(here).dispose()
    add_entry(here.home, Entry(9, "card", "b" * 32))
    with list_path(here.home).open("ab") as file:
        file.write(b'{"at_ms": 9, "ki')  # cut off by a crash
    assert weir_(here, "restore", str(copy), "--apply")[0] == 0
    assert read_entries(here.home) == [Entry(9, "card", "b" * 32), Entry(5, "card", "a" * 32)]
    before = list_path(here.home).read_bytes()
    add_lines(here.home, before)
    assert list_path(here.home).read_bytes() == before


def test_who_is_erased_while_a_backup_is_made_is_on_its_list(there: Settings) -> None:
    def erase(step: str) -> None:
        if step == "database":
            add_entry(there.home, Entry(9, "card", "c" * 32))

    with staging(there.home) as folder:
        gather(there, "", folder, Wanted(NONE), erase)
        assert Entry(9, "card", "c" * 32) in read_entries(folder)
        assert (folder / DATABASE).is_file()


def test_no_secret_setting_is_in_it_and_others_that_differ_are_named(
    weir_: Weir, there: Settings, here: Settings, tmp_path: Path
) -> None:
    given = {
        "WEIR_KAFKA__SASL_PASSWORD": "hunter2",
        "WEIR_REGISTRY__URL": "http://me:hunter2@127.0.0.1:9",
        "WEIR_TOPICS__RETENTION_DAYS": "45",
    }
    path = tmp_path / "set.tar.xz"
    assert weir_(there, "backup", str(path), "--calls", "none", **given)[0] == 0
    content = lzma.decompress(path.read_bytes())
    assert b"hunter2" not in content
    assert b'"WEIR_TOPICS__RETENTION_DAYS": "45"' in content
    code, said, _ = weir_(here, "restore", str(path), WEIR_TOPICS__RETENTION_DAYS="46")
    assert code == 0
    assert "setting WEIR_TOPICS__RETENTION_DAYS: 45 there, 46 here" in said
    assert "WEIR_REGISTRY__URL" not in said


def run_killed(step: str, settings: Settings, *arguments: str) -> None:
    environment = {**os.environ, "WEIR_HOME": str(settings.home)}
    done = subprocess.run([sys.executable, "-c", DIES, step, *arguments], env=environment, check=False, timeout=120)
    assert done.returncode == -signal.SIGKILL


@pytest.mark.parametrize("step", ["database", "files", "packed"])
def test_a_backup_that_is_killed_leaves_no_file_of_its_name_and_the_next_one_works(
    weir_: Weir, there: Settings, tmp_path: Path, step: str
) -> None:
    path = tmp_path / "backup.tar.xz"
    before = files_of(there.home)
    run_killed(step, there, "backup", str(path), "--calls", "none")
    assert not path.exists()
    assert weir_(there, "backup", str(path), "--calls", "none")[0] == 0
    assert [each.name for each in tmp_path.iterdir() if each.is_file()] == [path.name]
    assert files_of(there.home) == before
    assert read_pack(path).rows["api_keys"] == 1


@pytest.mark.parametrize(("step", "keys"), [("filled", []), ("placed", []), ("committed", ["checkout"])])
def test_a_restore_that_is_killed_puts_back_all_or_no_row_and_is_run_again(
    weir_: Weir, there: Settings, here: Settings, copy: Path, step: str, keys: list[str]
) -> None:
    run_killed(step, here, "restore", str(copy), "--apply")
    assert names_of_keys(here) == keys
    if not keys:
        assert weir_(here, "restore", str(copy), "--apply")[0] == 0
    assert names_of_keys(here) == ["checkout"]
    left = {name: content for name, content in files_of(here.home).items() if not name.startswith("backing-up")}
    assert left == files_of(there.home)


def test_a_file_that_comes_in_the_way_meanwhile_takes_back_all(
    weir_: Weir, here: Settings, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list comes after the key in the order of places: the key was put into its place and is taken away again."""

    def come_in_the_way(step: str) -> None:
        if step == "filled":
            (here.home / "lists.json").write_text("of another")

    monkeypatch.setattr("weir.backup.cli._do_nothing", come_in_the_way)
    weir_.assert_refused(here, "restore", str(copy), "--apply", says=["lists.json", "move it away"])
    assert files_of(here.home) == {"lists.json": b"of another"}
    assert names_of_keys(here) == []


def test_one_is_made_or_put_back_at_a_time(weir_: Weir, there: Settings) -> None:
    with staging(there.home), pytest.raises(Refused, match="wait for it"), staging(there.home):
        pass
    with staging(there.home):
        weir_.assert_refused(there, "backup", "b.tar.xz", "--calls", "none", says=["another backup or restore"])
    assert not (there.home / weir.backup.gather.STAGING).exists()


def test_a_home_without_a_database_is_named_and_none_is_made(weir_: Weir, here: Settings, tmp_path: Path) -> None:
    weir_.assert_refused(here, "backup", "b.tar.xz", says=["weir.db", "WEIR_HOME"])
    elsewhere = tmp_path / "other.db"
    url = {"WEIR_DATABASE__URL": f"sqlite:///{elsewhere}"}
    weir_.assert_refused(here, "backup", "b.tar.xz", says=["other.db"], **url)
    assert not here.home.exists()
    assert not elsewhere.exists()


def test_a_list_of_another_name_is_no_part_of_it(weir_: Weir, there: Settings) -> None:
    (there.home / "lists").mkdir()
    for name in ("clicks.json", "my own.json"):
        (there.home / "lists" / name).write_text("{}")
    assert weir_(there, "backup", "lists.tar.xz", "--calls", "none")[0] == 0
    assert {each.name for each in read_pack(Path("lists.tar.xz")).members} >= {"lists.json", "lists/clicks.json"}
    assert "my own" not in lzma.decompress(Path("lists.tar.xz").read_bytes()).decode(errors="replace")
