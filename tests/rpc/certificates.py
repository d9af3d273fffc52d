"""Certificates of every kind, also such as no honest tool makes, and servers and channels with them."""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID
from releaseregistry.v1 import tokens_pb2, tokens_pb2_grpc

from tests.rpc.wire import Metadata

Key = CertificateIssuerPrivateKeyTypes
DAY = dt.timedelta(days=1)
DNS, URI, EMAIL = x509.DNSName, x509.UniformResourceIdentifier, x509.RFC822Name


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate and its key, PEM."""

    certificate: bytes
    key: bytes

    def write(self, folder: Path, stem: str) -> tuple[Path, Path]:
        """Into two files of the folder: where they are."""
        certificate, key = folder / f"{stem}.crt", folder / f"{stem}.key"
        certificate.write_bytes(self.certificate)
        key.write_bytes(self.key)
        return certificate, key


def issue(authority: trustme.CA, *names: x509.GeneralName, days: float = 30, key: Key | None = None) -> Issued:
    """A certificate of the authority with these names, good for so many days; of none when there are no names.

    Negative days: it ended so long ago. `key` is its own, if it is not to be one of the usual ones.
    """
    key = key or ec.generate_private_key(ec.SECP256R1())
    now = dt.datetime.now(dt.UTC)
    issuer = x509.load_pem_x509_certificate(authority.cert_pem.bytes())
    signing = load_pem_private_key(authority.private_key_pem.bytes(), None)
    assert isinstance(signing, ec.EllipticCurvePrivateKey)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "common.example.com")]))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 60 * DAY)
        .not_valid_after(now + days * DAY)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]), critical=False
        )
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key()), critical=False)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    signed = builder.sign(signing, hashes.SHA256())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return Issued(signed.public_bytes(Encoding.PEM), pem)


def of_loopback(authority: trustme.CA, *, days: float = 30, key: Key | None = None) -> Issued:
    """A certificate for a server on this machine."""
    return issue(authority, x509.IPAddress(ipaddress.ip_address("127.0.0.1")), days=days, key=key)


def tls_settings(folder: Path, authority: trustme.CA, *, clients: str | None = None, **more: Any) -> dict[str, Any]:
    """Settings of a server with a certificate of the authority; with `clients`, the TOML of who its clients are."""
    certificate, key = of_loopback(authority).write(folder, "server")
    settings: dict[str, Any] = {"tls_certificate": certificate, "tls_key": key, **more}
    if clients is not None:
        ca, file = folder / "clients.pem", folder / "clients.toml"
        ca.write_bytes(authority.cert_pem.bytes())
        file.write_text(clients)
        settings |= {"tls_client_ca": ca, "tls_clients": file}
    return settings


@contextmanager
def channel_to(address: str, authority: trustme.CA, client: Issued | None = None) -> Iterator[grpc.Channel]:
    """A channel that trusts the authority and presents the client's certificate, if it has one."""
    pair = (None, None) if client is None else (client.key, client.certificate)
    credentials = grpc.ssl_channel_credentials(authority.cert_pem.bytes(), *pair)
    options = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0))
    with grpc.secure_channel(address, credentials, options=options) as channel:
        yield channel


def whoami(
    address: str,
    authority: trustme.CA,
    client: Issued | None = None,
    metadata: Metadata | Sequence[tuple[str, str]] = (),
) -> tokens_pb2.WhoAmIResponse:
    """What a call on a connection of its own is told of itself."""
    with channel_to(address, authority, client) as channel:
        stub = tokens_pb2_grpc.TokenServiceStub(channel)
        return stub.WhoAmI(tokens_pb2.WhoAmIRequest(), metadata=tuple(metadata), timeout=30)
