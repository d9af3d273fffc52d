"""Reading certificates: what the server presents, and whose clients it believes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509 import (
    Certificate,
    DNSName,
    ExtensionNotFound,
    IPAddress,
    SubjectAlternativeName,
    load_pem_x509_certificates,
)

# With P-521 or an Ed25519 key, clients of gRPC in Python, C++, Ruby and PHP do not come through the handshake; and with
# most other kinds gRPC itself makes no server.
CURVES: Final = ("secp256r1", "secp384r1")


class CertificateWrong(Exception):
    """A file does not hold what it should; the text is one line that names it."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate chain and its private key, both PEM. `expire_time` is the end of the first of the chain to end."""

    chain: bytes
    key: bytes
    subject: str
    expire_time: datetime


def read_pair(certificate: Path, key: Path, *, names: tuple[str, str] | None = None) -> Pair:
    """The certificate chain and its key; what was checked is what is answered, whatever becomes of the files.

    `names` is what to call the files in an error. Raises CertificateWrong when they are no pair or cannot be read.
    """
    called = names or (str(certificate), str(key))
    chain_bytes, key_bytes = _content(certificate, called[0]), _content(key, called[1])
    try:
        chain = load_pem_x509_certificates(chain_bytes)
        is_pair = _public_bytes(chain[0]) == load_pem_private_key(key_bytes, None).public_key().public_bytes(
            Encoding.DER, PublicFormat.SubjectPublicKeyInfo
        )
        ends = min(each.not_valid_after_utc for each in chain)
        subject = _subject(chain[0])
    except (ValueError, TypeError, UnsupportedAlgorithm):  # TypeError: the key is encrypted
        is_pair = False
    if not is_pair:
        raise CertificateWrong(
            f"{called[0]} and {called[1]} are no pair: a certificate chain and its private key are needed, both PEM, "
            "the key not encrypted."
        )
    if not _is_taken(chain[0]):
        raise CertificateWrong(
            f"{called[0]} has a key that clients of gRPC do not take: RSA is needed, or ECDSA on the curve P-256 or "
            "P-384."
        )
    return Pair(chain_bytes, key_bytes, subject, ends)


def read_authorities(file: Path, *, name: str | None = None) -> bytes:
    """The certificates, PEM, of those whose clients are believed. Raises CertificateWrong when there is none."""
    called = name or str(file)
    content = _content(file, called)
    try:
        load_pem_x509_certificates(content)
    except ValueError:
        raise CertificateWrong(f"{called} holds no certificates of authorities, PEM.") from None
    return content


def _content(file: Path, called: str) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise CertificateWrong(f"{called} cannot be read: {error.strerror}.") from None


def _public_bytes(certificate: Certificate) -> bytes:
    return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _is_taken(certificate: Certificate) -> bool:
    match certificate.public_key():
        case RSAPublicKey():
            return True
        case EllipticCurvePublicKey(curve=curve):
            return curve.name in CURVES
        case _:
            return False


def _subject(certificate: Certificate) -> str:
    return certificate.subject.rfc4514_string()


def whole_days_until(time: datetime, *, now: datetime | None = None) -> int:
    """Days from now, rounded down: negative when it is past."""
    return (time - (now or datetime.now(UTC))).days


def names_in(certificate: Path) -> tuple[str, ...]:
    """The names and addresses that the first certificate of the file is for. Raises CertificateWrong."""
    try:
        first = load_pem_x509_certificates(_content(certificate, str(certificate)))[0]
        found = first.extensions.get_extension_for_class(SubjectAlternativeName).value
    except ExtensionNotFound:
        return ()
    except ValueError:
        raise CertificateWrong(f"{certificate} holds no certificate, PEM.") from None
    return (*found.get_values_for_type(DNSName), *map(str, found.get_values_for_type(IPAddress)))
