"""Puts a backup back into a home and a database that are empty, or leaves both as they were.

Numbered steps, after every byte of the backup was checked:

1. What is in the way is named, and nothing is changed.
2. The database is filled, in a transaction.
3. Files of the home get their places; of two lists of erasures the lines of both are kept.
4. The transaction is committed.

A process that is killed before the last step leaves files that the same backup has; it is run again, and finishes.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from weir.backup.gather import OnStep
from weir.backup.manifest import DATABASE, ERASURES, Manifest, Member
from weir.backup.pack import sync_folder
from weir.gdpr.erasures import add_lines
from weir.infra.database.copying import check_empty, inspect_copy, putting_back
from weir.infra.database.engine import connect, find_file
from weir.infra.settings import Settings
from weir.schemas.errors import Damaged, Refused


def check_place(settings: Settings, project: str, manifest: Manifest, folder: Path) -> None:
    """Refuse what a backup cannot be put back into.

    Args:
        settings: of this deployment.
        project: its name.
        manifest: of the backup.
        folder: with its members.

    Raises:
        Refused: the project is another one, the database has rows, or the home has other files in their places.
        Damaged: the copy of the database is not what the manifest says.
        Transient: the database is unreachable.
    """
    if manifest.project != project:
        raise Refused(
            f"expected a backup of {_name(project)}, found one of {_name(manifest.project)}; run it in the folder of "
            "that project"
        )
    if inspect_copy(folder / DATABASE) != (manifest.revision, dict(manifest.rows)):
        raise Damaged("expected the rows that the backup's manifest says, found others; take another backup")
    for member in manifest.of_home:
        _refuse_other(settings.home / member.name, folder / member.name)
    path = find_file(settings)
    if path is None or path.is_file():
        engine = connect(settings)
        try:
            check_empty(engine)
        finally:
            engine.dispose()


def put_back(settings: Settings, manifest: Manifest, folder: Path, on_step: OnStep) -> None:
    """Put a backup back.

    Args:
        settings: of this deployment.
        manifest: of the backup, which ``check_place`` passed.
        folder: with its members, on the file system of the home.
        on_step: called after each numbered step.

    Raises:
        Refused: something came in the way meanwhile; nothing was changed.
        Transient: the database is unreachable, or said no; nothing was changed.
    """
    engine = connect(settings)
    with ExitStack() as undo:
        undo.callback(engine.dispose)
        with ExitStack() as placed:
            with putting_back(engine, folder / DATABASE):
                on_step("filled")
                for member in manifest.of_home:
                    placed.callback(_place(settings.home, member, folder))
                on_step("placed")
            placed.pop_all()  # it is committed: they stay
        on_step("committed")


def _name(project: str) -> str:
    return f"the project {project}" if project else "the shipped streams"


def _refuse_other(path: Path, member: Path) -> None:
    if path.exists() and path.name != ERASURES and path.read_bytes() != member.read_bytes():
        raise Refused(f"expected no {path}, or the one of the backup, found another; move it away, and run it again")


def _place(home: Path, member: Member, folder: Path) -> Callable[[], object]:
    """Put a file into its place; return what takes it away again."""
    path, content = home / member.name, folder / member.name
    is_new = not path.exists()
    if member.name == ERASURES and not is_new:
        add_lines(home, content.read_bytes())
        return lambda: None
    if is_new:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.link(content, path)
        sync_folder(path.parent)
        return lambda: path.unlink(missing_ok=True)
    _refuse_other(path, content)
    return lambda: None
