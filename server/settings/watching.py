"""Settings of what the operator sees: metrics, the audit trail, traces, and which calls count as slow."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Final

from server.settings.network import address
from server.settings.parsing import number
from server.settings.setting import Setting, SettingWrong
from server.settings.values import Settings

_ENDPOINT: Final = re.compile(r"https?://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(:\d{1,5})?(/[A-Za-z0-9._~/-]*)?")


def _address_or_none(text: str) -> str:
    return address(text) if text else ""


def _audit(text: str) -> Path | None:
    if not text:
        return None
    path = Path(text).expanduser().absolute()
    if path.is_dir() or not path.parent.is_dir():
        raise ValueError("must be a file in a folder that exists")
    return path


def _endpoint(text: str) -> str:
    if text and not _ENDPOINT.fullmatch(text):
        raise ValueError("must be http://host:port or https://host:port, to which /v1/traces is added")
    return text.rstrip("/")


SETTINGS: Final = (
    Setting(
        "metrics_listen",
        "",
        "host:port",
        "Where Prometheus reads the metrics, over HTTP and without a token: no figure tells of an organization. Empty: "
        "nowhere.",
        _address_or_none,
    ),
    Setting(
        "audit",
        "",
        "file",
        "Where the audit trail is appended: a line of JSON for each call that may change something. Empty: into the "
        "log. The file is opened anew on SIGHUP.",
        _audit,
    ),
    Setting(
        "slow_seconds",
        "5",
        "seconds, 1 to 3600",
        "A unary call that takes longer has a warning in the log.",
        number(1, 3600),
    ),
    Setting(
        "otlp_endpoint",
        "",
        "URL",
        "Where traces are sent to, by OTLP over HTTP, such as `http://127.0.0.1:4318`. It needs the extra `otel` of "
        "the package. Empty: nothing is traced.",
        _endpoint,
    ),
)


def check_tracing(settings: Settings) -> None:
    """What traces need is installed; raises SettingWrong."""
    if not settings.otlp_endpoint:
        return
    try:
        found = importlib.util.find_spec("opentelemetry.sdk") and importlib.util.find_spec(
            "opentelemetry.exporter.otlp.proto.http"
        )
    except ModuleNotFoundError:
        found = None
    if found is None:
        raise SettingWrong(
            "RELEASES_OTLP_ENDPOINT is set, but OpenTelemetry is not installed: install release-registry[otel], or set "
            "no endpoint."
        )
