"""A certificate for tests, signed by itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from weir.inference.api.web.server import Tls


def write_certificate(folder: Path, *addresses: str) -> Tls:
    """Write a certificate of ``localhost`` and of addresses of this machine, valid for a day, and its key."""
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    named = [x509.DNSName("localhost"), *(x509.IPAddress(ip_address(each)) for each in addresses)]
    certificate = (
        x509.CertificateBuilder(
            name, name, private.public_key(), x509.random_serial_number(), now, now + timedelta(days=1)
        )
        .add_extension(x509.SubjectAlternativeName(named), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(private, hashes.SHA256())
    )
    files = Tls(str(folder / "c.pem"), str(folder / "k.pem"))
    pem = serialization.Encoding.PEM
    Path(files.certificate).write_bytes(certificate.public_bytes(pem))
    plain = serialization.NoEncryption()
    Path(files.key).write_bytes(private.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    return files
