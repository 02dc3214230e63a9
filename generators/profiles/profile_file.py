"""``generator.toml`` as a file: what it says, and on which line."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, Final

from weir.schemas.errors import Refused
from weir.schemas.origin import Origin

PROFILE_FILE: Final = "generator.toml"


class ProfileFile:
    """What ``generator.toml`` says, and on which line; one that is not there says nothing."""

    def __init__(self, path: Path) -> None:
        """Read it.

        Raises:
            Refused: it is no TOML.
        """
        self._path = path
        try:
            self._text = path.read_text(encoding="utf-8") if path.exists() else ""
            self.content: dict[str, Any] = tomllib.loads(self._text)
        except ValueError as error:  # no TOML, or no UTF-8
            raise Refused(f"{path}: expected TOML, found: {str(error).lower()}") from None

    def find(self, section: str, key: str) -> Origin:
        """Return the line of a key of a section, that of the section where the key has none, or the first."""
        found, inside = 1, False
        for number, line in enumerate(self._text.splitlines(), 1):
            if line.lstrip().startswith("["):
                inside = line.strip(" \t[]").split("#")[0].strip(" \t[]") in {section, f"{section}.fields"}
                found = number if inside and found == 1 else found
            elif inside and key and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*=", line):
                return Origin(str(self._path), number)
        return Origin(str(self._path), found)
