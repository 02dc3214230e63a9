"""Where a table is, a folder here or a URL of an object store, and what it says when it cannot be used.

Everything of a table goes through here: its files by Arrow's file systems, its log by delta-rs.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property

import pyarrow as pa
from deltalake.exceptions import CommitFailedError, DeltaError
from pyarrow import fs

from weir.infra.archive_store import open_files
from weir.schemas.errors import Damaged, Refused, Transient

OWN_FOLDERS = frozenset({"_bundles", "_objects", "_schemas", "_seals", "_versions"})
"""Of an archive's root, next to a folder for each topic."""
LOG_DAYS = 7
"""Older versions of a table are kept in its log for so long, as the files are that they name."""
_READING = frozenset({"read", "sealed"})
"""What was found in a table's log or in a listing is read then: a file that is not there is missing."""
_DAMAGE = ("decompression failed", "deserialize thrift", "Json error", "contiguous", "No table metadata", "corrupt")
"""What Arrow and delta-rs say of bytes that are not what was written; of a store they have the same classes."""
_UNSUPPORTED = "Unsupported minimum"
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@dataclass(frozen=True)
class Place:
    """A folder of an archive.

    Attributes:
        uri: a path here, or a URL such as ``s3://bucket/archive``.
        options: how an object store lets us in, by the names that delta-rs has for it.
    """

    uri: str
    options: Mapping[str, str] = field(default_factory=dict, repr=False)

    def below(self, name: str) -> Place:
        """Return a folder in this one."""
        return Place(f"{self.uri.rstrip('/')}/{name}", self.options)

    @property
    def is_remote(self) -> bool:
        """True for a URL."""
        return "://" in self.uri

    @cached_property
    def files(self) -> fs.FileSystem:
        """The file system whose root this place is."""
        return open_files(self.uri, self.options)

    def list_folders(self) -> list[str]:
        """Return the names of the folders here that may be tables, sorted; none where the place does not exist."""
        with self.errors("listed"):
            found = self.files.get_file_info(fs.FileSelector("", allow_not_found=True, recursive=self.is_remote))
        names = {each.path.split("/")[0] for each in found if "/" in each.path or each.type == fs.FileType.Directory}
        return sorted(names - OWN_FOLDERS)

    def delete(self, paths: list[str]) -> None:
        """Delete files, as far as that is possible: what is left is in no table."""
        for path in paths:
            with suppress(OSError, DeltaError):
                self.files.delete_file(path)

    @contextmanager
    def errors(self, what: str) -> Iterator[None]:
        """Turn what a store says into an error that is retried.

        Raises:
            CommitFailedError: a commit did not take place; as a rule another one came first.
            Damaged: a file of a table is missing, or is not what was written.
            Refused: a newer version wrote it.
            Transient: it cannot be used now; ``cause`` is ``full`` where it has no room.
        """
        try:
            yield
        except CommitFailedError:
            raise
        except (UnicodeDecodeError, pa.ArrowInvalid, OSError, DeltaError) as error:
            if _UNSUPPORTED in str(error):
                raise Refused(
                    f"archive: {self.uri} cannot be {what}: {first_line(error)}: a newer version of weir or of Delta "
                    "wrote it, and that version reads it"
                ) from None
            if _is_damage(error, what):
                raise self._describe_damage(error) from None
            cause = "full" if isinstance(error, OSError) and error.errno in _FULL else "away"
            raise Transient(f"archive: {self.uri} cannot be {what}: {first_line(error)}", cause=cause) from None

    def _describe_damage(self, error: Exception) -> Damaged:
        return Damaged(
            f"archive: expected the files of {self.uri} as they were written, found one missing or damaged: "
            f"{first_line(error)}; `weir evidence verify` names each; put the file back from a copy of the archive; "
            "where there is none, `weir archive drop-damaged` lets the table continue without a data file"
        )


def _is_damage(error: Exception, what: str) -> bool:
    """Return whether a file that was read is the reason, and not its store."""
    if isinstance(error, UnicodeDecodeError | pa.ArrowInvalid):
        return True
    if what not in _READING:
        return False
    return isinstance(error, FileNotFoundError) or any(mark in str(error) for mark in _DAMAGE)


def first_line(error: Exception) -> str:
    """Return the first line of what an error says, or its class."""
    return (str(error).splitlines() or [type(error).__name__])[0]
