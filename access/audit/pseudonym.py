"""Names for ids that say nothing to who lacks the key: HMAC-SHA256, by a key of the deployment.

The same id has the same name, so that all calls about one can be found by who has the id and the key. A plain hash
would not do: card tokens and ids can be guessed and hashed. Where the key is deleted, names mean nothing to anybody.
"""

from __future__ import annotations

import hmac
import secrets
from hashlib import sha256
from pathlib import Path

from weir.infra.private_files import read_private
from weir.schemas.errors import Refused

_KEY_BYTES = 32
_DIGITS = 32
"""Half of the hash: 128 bits, of which no two ids of a deployment share a name."""


def key_path(home: Path) -> Path:
    """Return where the key of a home is."""
    return home / "keys" / "audit.key"


class Pseudonyms:
    """Gives names by one key."""

    def __init__(self, key: bytes) -> None:
        """Take a key; ``load_pseudonyms`` reads or makes one."""
        self._key = key

    def name(self, text: str) -> str:
        """Return the name of an id; none has none.

        >>> Pseudonyms(b"k").name("card=c1") == Pseudonyms(b"k").name("card=c1") != Pseudonyms(b"l").name("card=c1")
        True
        """
        return hmac.digest(self._key, text.encode("utf-8", "surrogatepass"), sha256).hex()[:_DIGITS] if text else ""


def load_pseudonyms(home: Path) -> Pseudonyms:
    """Return the pseudonyms of a home, whose key is made where there is none.

    Raises:
        Refused: the file holds no such key, or others may read it.
    """
    path = key_path(home)
    text = read_private(path, lambda: secrets.token_hex(_KEY_BYTES).encode() + b"\n")
    try:
        key = bytes.fromhex(text.decode("ascii"))
    except ValueError:
        key = b""
    if len(key) != _KEY_BYTES:
        raise Refused(f"expected {2 * _KEY_BYTES} hexadecimal digits in {path}, found something else; restore the file")
    return Pseudonyms(key)
