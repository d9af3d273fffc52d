"""Requests to the service that has a bucket: who we are to it, what is repeated, and what a failure means."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from threading import Lock
from typing import Any, Final, NamedTuple, TypeVar

from obstore.exceptions import BaseError
from obstore.store import S3Store

from store.blobs.s3_errors import Refusal
from store.errors import BlobsDown, StorageFull
from store.metrics import BLOB_RECONNECTS

log = logging.getLogger(__name__)

# A request that stalls, and one that is repeated, both end within a unary call's minute.
_REQUEST_SECONDS: Final = 30
_CONNECT_SECONDS: Final = 3
_RETRY_SECONDS: Final = 15
_RETRIES: Final = 8

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Bucket:
    """Where packs are kept: a bucket, and who we are to its service.

    `endpoint` is empty for Amazon's own. Without an access key the credentials are the machine's: Amazon's variables,
    web identity or role, which are renewed when they expire.
    """

    name: str
    prefix: str = ""
    endpoint: str = ""
    region: str = "us-east-1"
    access_key_id: str = ""
    secret_access_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)
    path_style: bool = True
    allow_http: bool = False

    def __str__(self) -> str:
        """For the operator; no secrets."""
        where = f" at {self.endpoint}" if self.endpoint else f" in {self.region}"
        return f"s3://{'/'.join(filter(None, (self.name, self.prefix)))}{where}"


class Retries(NamedTuple):
    """How long a request that fails for now is repeated: jittered, growing pauses, at most so many, for so long."""

    attempts: int = _RETRIES
    seconds: float = _RETRY_SECONDS


DEFAULT_RETRIES: Final = Retries()


class S3Client:
    """Asks the service that has `bucket`. Safe for several threads."""

    def __init__(self, bucket: Bucket, retries: Retries) -> None:
        self.bucket = bucket
        self._retries = retries
        self._lock = Lock()
        self._store = self._connected()

    @property
    def unguarded(self) -> S3Store:
        """The library's store, for one who understands its errors."""
        return self._store

    def ask(self, call: Callable[[S3Store], R], what: str, pack_id: bytes | None = None) -> R:
        """What the service answers; with fresh credentials, once, when it does not take those it got.

        Raises FileNotFoundError, StorageFull, BlobsDown. Neither their texts nor the log tell what the
        service said, which may quote what was signed; only its status and its word for the error.
        """
        store = self._store
        try:
            try:
                return call(store)
            except FileNotFoundError:
                raise
            except (BaseError, OSError) as error:
                if not Refusal.of(error).is_of_credentials:
                    raise
            return call(self._reconnected(store))
        except FileNotFoundError:
            raise
        except (BaseError, OSError) as error:
            refusal = Refusal.of(error)
        self._log(refusal, what, pack_id)
        if refusal.is_full:
            raise StorageFull
        raise BlobsDown

    def _connected(self) -> S3Store:
        bucket, endpoint = self.bucket, self.bucket.endpoint
        if endpoint and not bucket.path_style:
            scheme, _, host = endpoint.partition("://")
            endpoint = f"{scheme}://{bucket.name}.{host}"
        options: dict[str, Any] = {}
        if endpoint:
            options |= {"endpoint": endpoint, "aws_endpoint_url_s3": endpoint}  # the second beats a variable
        if bucket.access_key_id:
            # Not as options: a token in Amazon's variables would be mixed with this key.
            options["credential_provider"] = self._own_credentials
        return S3Store(
            bucket.name,
            prefix=bucket.prefix or None,
            region=bucket.region,
            virtual_hosted_style_request=not bucket.path_style,
            skip_signature=False,
            unsigned_payload=False,  # the service verifies that it got what we sent
            disable_bulk_delete=True,  # not every service has it, and we remove one at a time
            client_options={
                "allow_http": bucket.allow_http,
                "connect_timeout": timedelta(seconds=_CONNECT_SECONDS),
                "timeout": timedelta(seconds=_REQUEST_SECONDS),
            },
            retry_config={
                "max_retries": self._retries.attempts,
                "retry_timeout": timedelta(seconds=self._retries.seconds),
                "backoff": {
                    "init_backoff": timedelta(milliseconds=100),
                    "max_backoff": timedelta(seconds=2),
                    "base": 2,
                },
            },
            **options,
        )

    def _own_credentials(self) -> Any:
        bucket = self.bucket
        return {
            "access_key_id": bucket.access_key_id,
            "secret_access_key": bucket.secret_access_key or "",
            "token": bucket.session_token,
            "expires_at": None,
        }

    def _reconnected(self, refused: S3Store) -> S3Store:
        """A client that asks for its credentials anew, unless another thread has made one since."""
        with self._lock:
            if self._store is refused:
                BLOB_RECONNECTS.inc()
                self._store = self._connected()
            return self._store

    def _log(self, refusal: Refusal, what: str, pack_id: bytes | None) -> None:
        fields = {"bucket": self.bucket.name, "what": what, "status": refusal.status, "code": refusal.code}
        if pack_id is not None:
            fields["pack_id"] = pack_id.hex()
        log.error("the bucket's service refused or could not be reached", extra={"fields": fields})
