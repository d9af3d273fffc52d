"""Client of the release registry: a library, and the command line `relctl` on top of it.

    from pathlib import Path
    from relctl import FileDraft, ReleaseDraft, ReleaseFilter, connect

    with connect("127.0.0.1:50051", token=token) as client:
        client.releases.create("acme", ReleaseDraft(version="app@1.0.0", projects=["web"]))
        client.files.upload("acme", "app@1.0.0", Path("app.tar.gz"), FileDraft(file_name="app.tar.gz"))
        found = client.releases.list("acme", ReleaseFilter(query="release.version:>=1.2 !has:deployed"))

Answers are the messages of `releaseregistry.v1`; whatever fails raises `RegistryError` or `LocalError`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from relctl.client import Client, connect
    from relctl.connection import Transport
    from relctl.errors import LocalError, RegistryError, Violation
    from relctl.files import FileDraft
    from relctl.health import HealthSpan
    from relctl.release_filters import ReleaseFilter, ReleaseOrder, TimeSpan
    from relctl.releases import BulkChange, ReleaseDraft
    from relctl.thresholds import ThresholdDraft

__all__ = [
    "BulkChange",
    "Client",
    "FileDraft",
    "HealthSpan",
    "LocalError",
    "RegistryError",
    "ReleaseDraft",
    "ReleaseFilter",
    "ReleaseOrder",
    "ThresholdDraft",
    "TimeSpan",
    "Transport",
    "Violation",
    "connect",
]

_MODULES: Final = {
    "BulkChange": "releases",
    "Client": "client",
    "FileDraft": "files",
    "HealthSpan": "health",
    "LocalError": "errors",
    "RegistryError": "errors",
    "ReleaseDraft": "releases",
    "ReleaseFilter": "release_filters",
    "ReleaseOrder": "release_filters",
    "ThresholdDraft": "thresholds",
    "TimeSpan": "release_filters",
    "Transport": "connection",
    "Violation": "errors",
    "connect": "client",
}


def __getattr__(name: str) -> Any:
    # Imported when asked for: the command line has something to say before grpc is imported (relctl/cli/quiet.py).
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
