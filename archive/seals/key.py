"""The key that signs seals: Ed25519, made at first use in a file that its owner alone reads.

Who holds it can write another chain, so a signature tells who sealed, and not that nothing was sealed over. Against
the holder of the key helps a copy of the newest hash that is kept elsewhere: ``weir evidence verify --expect`` looks
for it.
"""

from __future__ import annotations

from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from weir.infra.private_files import read_private
from weir.schemas.errors import Refused

_PURPOSE = b"weir.seal.1:"
"""Before what is signed, so that no signature of another purpose passes for one of a seal."""


def key_path(home: Path) -> Path:
    """Return where the key of a home is."""
    return home / "keys" / "seals.pem"


class SealKey:
    """The private key.

    Attributes:
        public: its public half, hexadecimal.
    """

    def __init__(self, private: Ed25519PrivateKey) -> None:
        """Take a key; ``load_key`` reads or makes one."""
        self._private = private
        self.public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()

    def sign(self, seal_hash: str) -> str:
        """Return the signature of a seal's hash, hexadecimal; the same for the same hash."""
        return self._private.sign(_PURPOSE + seal_hash.encode()).hex()


def load_key(path: Path) -> SealKey:
    """Return the key of a file, which is made where there is none.

    Raises:
        Refused: the file holds no such key, or others may read it.
    """
    text = read_private(path, _make)
    try:
        private = load_pem_private_key(text, password=None)
    except ValueError:
        private = None
    if not isinstance(private, Ed25519PrivateKey):
        raise Refused(f"expected an Ed25519 key in {path}, found something else; restore the file, or move it away "
                      "and seal with a new key")  # fmt: skip
    return SealKey(private)


def is_signed(seal_hash: str, *, signature: str, public: str) -> bool:
    """Return whether a signature of a seal's hash is that of a public key, both hexadecimal."""
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public))
        key.verify(bytes.fromhex(signature), _PURPOSE + seal_hash.encode())
    except (ValueError, InvalidSignature):
        return False
    return True


def _make() -> bytes:
    return Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
