"""Who calls, by the certificate of the connection. See behaviour.md, Client certificates."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import grpc
from cryptography.x509 import (
    DNSName,
    DuplicateExtension,
    ExtensionNotFound,
    RFC822Name,
    SubjectAlternativeName,
    UniformResourceIdentifier,
    UnsupportedGeneralNameType,
    load_pem_x509_certificate,
)

from server.tls.client_grants import DNS, EMAIL, URI, Grants, name_of, read_grants
from store.access.access import Access
from store.access.certificates import CertificateGrant, CertificateRights
from store.database import Database
from store.errors import CredentialsInvalid, OrganizationNotFound, ProjectForbidden

log = logging.getLogger("server.client_certificates")

_KINDS: Final = ((DNS, DNSName), (URI, UniformResourceIdentifier), (EMAIL, RFC822Name))
TOLD_SECONDS: Final = 60.0
"""The log tells the same of a name once in so long, however many calls it is refused."""


class ClientCertificates:
    """For whom the names in clients' certificates stand. `load` it before the first call; it stands for nobody yet."""

    def __init__(self, db: Database, file: Path | None) -> None:
        self._file = file
        self._rights = CertificateRights(db)
        self._grants: Grants = {}
        self._told: dict[str, float] = {}

    def load(self) -> int:
        """Read the file, if there is one; how many names it tells. Raises GrantsWrong, and then keeps what it had."""
        if self._file is not None:
            self._grants = read_grants(self._file)
            self._rights.forget()
            self._told = {}
        return len(self._grants)

    def access(self, names: Iterable[str], caller: str = "") -> Access | None:
        """What whoever has a certificate with these names may do; None when none of them stands for anybody.

        Raises CredentialsInvalid when that is not there, or several of them stand for several.
        """
        grants = self._grants
        found = {name: grants[name] for name in names if name in grants}
        if not found:
            return None
        if len(found) > 1:
            self.tell(min(found), "a certificate has several names that stand for somebody", names=sorted(found))
            raise CredentialsInvalid(beside_certificate=True)
        grant: CertificateGrant = next(iter(found.values()))
        try:
            return self._rights(grant, caller)
        except OrganizationNotFound:
            self.tell(grant.name, "a certificate stands for an organization that is not there")
        except ProjectForbidden as error:
            self.tell(grant.name, "a certificate stands for projects that are not there", **error.metadata)
        raise CredentialsInvalid(beside_certificate=True)

    def tell(self, name: str, text: str, **fields: object) -> None:
        """Tell the operator why calls with a certificate of this name are refused."""
        now = time.monotonic()
        if now - self._told.get(name, -TOLD_SECONDS) >= TOLD_SECONDS:
            self._told[name] = now
            grant = self._grants.get(name)
            organization = None if grant is None else grant.organization
            log.warning(text, extra={"fields": {"certificate": name, "organization": organization, **fields}})


def names_of(context: grpc.ServicerContext) -> tuple[str, ...]:
    """The names in the client's certificate that may stand for somebody: of hosts, URIs and addresses."""
    told: Mapping[str, Any] = context.auth_context()  # of lists of bytes, whatever the stubs say
    certificates = told.get("x509_pem_cert", ())
    return _names_in(certificates[0]) if certificates else ()


@lru_cache(maxsize=1000)
def _names_in(certificate: bytes) -> tuple[str, ...]:
    """The names in a certificate, PEM. None when they cannot be read, and none with a control character in it.

    What grpc tells as names ends at a NUL, and what stands before it was never certified.
    """
    try:
        names = load_pem_x509_certificate(certificate).extensions.get_extension_for_class(SubjectAlternativeName).value
    except (ValueError, DuplicateExtension, ExtensionNotFound, UnsupportedGeneralNameType):
        return ()
    return tuple(
        name_of(kind, text)
        for kind, class_ in _KINDS
        for text in names.get_values_for_type(class_)
        if text.isascii() and text.isprintable()
    )
