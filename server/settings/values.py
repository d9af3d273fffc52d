"""The settings of a server, read and checked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from store.health.items import SessionLimits
from store.quotas.quota import Quota


@dataclass(frozen=True, slots=True)
class Settings:
    """How a server is to run. Made by `read_settings`, or by tests with what they need."""

    listen: str
    data: Path
    database: str
    pooler: str
    blobs: str
    s3_endpoint: str
    s3_region: str
    s3_access_key_id: str
    s3_secret_access_key: str | None
    s3_session_token: str | None
    s3_path_style: bool
    s3_allow_http: bool
    bootstrap_token: str | None
    tls_certificate: Path | None
    tls_key: Path | None
    tls_client_ca: Path | None
    tls_clients: Path | None
    allow_plain_text: bool
    reflection: bool
    max_file_bytes: int
    grace_seconds: int
    quota_stored_bytes: int | None
    quota_file_count: int | None
    quota_stream_count: int | None
    call_slots: int
    stream_slots: int
    organization_percent: int
    connections: int
    connection_age_seconds: int
    call_seconds: int
    silence_seconds: int
    drain_seconds: int
    session_days: int
    health_hour_days: int
    health_days: int
    log_level: str
    metrics_listen: str
    audit: Path | None
    slow_seconds: int
    otlp_endpoint: str
    workers: int

    @property
    def operator_token_file(self) -> Path:
        """Where the operator's token is kept when the server made it itself."""
        return self.data / "operator-token"

    @property
    def bucket(self) -> tuple[str, str] | None:
        """The bucket and the prefix in it that hold the bytes of files; None when a folder does."""
        if not self.blobs:
            return None
        bucket, _, prefix = self.blobs.removeprefix("s3://").partition("/")
        return bucket, prefix.strip("/")

    @property
    def default_quota(self) -> Quota:
        """How much an organization may have of which nothing else is said."""
        return Quota(self.quota_stored_bytes, self.quota_file_count, self.quota_stream_count)

    @property
    def session_limits(self) -> SessionLimits:
        """How long what sessions come to is kept."""
        return SessionLimits(self.session_days, self.health_hour_days, self.health_days)

    @property
    def uses_sqlite(self) -> bool:
        """Whether the database is a file, which one server process has to itself."""
        return self.database.startswith("sqlite:")
