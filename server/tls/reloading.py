"""TLS: the certificate that the server presents, read anew without ending a connection."""

from __future__ import annotations

import logging
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Final

import grpc

from server.tls.certificates import CertificateWrong, Pair, read_authorities, read_pair, whole_days_until

log = logging.getLogger("server.tls")

WARN_DAYS: Final = 14
"""So long before its certificate ends the log begins to say so."""
WARN_AGAIN_SECONDS: Final = 24 * 3600.0


class Tls:
    """The certificate of one server, and the authorities whose clients it believes. Raises CertificateWrong."""

    def __init__(self, certificate: Path, key: Path, client_ca: Path | None) -> None:
        self._certificate, self._key, self._client_ca = certificate, key, client_ca
        self._lock = threading.Lock()
        self._pair, self._configuration = self._read()
        self._given = self._configuration
        self._warned: float | None = None

    @property
    def subject(self) -> str:
        """Whom the certificate is for."""
        return self._pair.subject

    @property
    def expire_time(self) -> datetime:
        """When the first of the served chain ends."""
        return self._pair.expire_time

    def credentials(self) -> grpc.ServerCredentials:
        """What to listen with: each new connection gets what was loaded last."""
        return grpc.dynamic_ssl_server_credentials(
            self._configuration,
            self._fetch,  # type: ignore[arg-type]  # None is documented: nothing new
            require_client_authentication=self._client_ca is not None,
        )

    def reload(self) -> bool:
        """Read the files again; whether they are good. What runs goes on; what is bad is told and changes nothing."""
        try:
            pair, configuration = self._read()
        except CertificateWrong as error:
            log.error("the certificate is kept: the new one cannot be used", extra={"fields": {"problem": str(error)}})
            return False
        with self._lock:
            self._pair, self._configuration = pair, configuration
        self._warned = None
        fields = {"subject": pair.subject, "expire_time": pair.expire_time.isoformat()}
        log.info("the certificate was read", extra={"fields": fields})
        self.warn()
        return True

    def warn(self) -> bool:
        """Tell that the certificate ends soon, if it does, once a day; whether it was told."""
        days, now = whole_days_until(self.expire_time), time.monotonic()
        if days >= WARN_DAYS or (self._warned is not None and now - self._warned < WARN_AGAIN_SECONDS):
            return False
        self._warned = now
        fields = {"subject": self.subject, "expire_time": self.expire_time.isoformat(), "days_left": days}
        if days < 0:
            log.error("the certificate has expired", extra={"fields": fields})
        else:
            log.warning("the certificate expires soon", extra={"fields": fields})
        return True

    def _read(self) -> tuple[Pair, grpc.ServerCertificateConfiguration]:
        pair = read_pair(self._certificate, self._key)
        authorities = None if self._client_ca is None else read_authorities(self._client_ca)
        if not _is_taken(pair, authorities):
            files = ", ".join(str(file) for file in (self._certificate, self._key, self._client_ca) if file is not None)
            raise CertificateWrong(f"gRPC cannot serve with {files}; each is well-formed by itself.")
        configuration = grpc.ssl_server_certificate_configuration([(pair.key, pair.chain)], authorities)
        return pair, configuration

    def _fetch(self) -> grpc.ServerCertificateConfiguration | None:
        """Asked by grpc at every new connection; None: what it has is the newest."""
        with self._lock:
            if self._given is self._configuration:
                return None
            self._given = self._configuration
            return self._given


def _is_taken(pair: Pair, authorities: bytes | None) -> bool:
    """Whether grpc can serve with it, seen by a server that nobody calls.

    At a reload grpc would go on with what it has, and tell nobody.
    """
    tried = grpc.server(ThreadPoolExecutor(1, thread_name_prefix="tls-trial"))
    address = f"unix-abstract:release-server-{uuid.uuid4()}" if sys.platform == "linux" else "localhost:0"
    credentials = grpc.ssl_server_credentials([(pair.key, pair.chain)], authorities, authorities is not None)
    try:
        tried.add_secure_port(address, credentials)
    except RuntimeError:
        return False
    finally:
        tried.start()  # one that was never started keeps its descriptors
        tried.stop(None).wait()
    return True
