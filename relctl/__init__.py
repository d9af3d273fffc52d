"""Client of the release registry: a library, and the command line `relctl` on top of it.

    from pathlib import Path
    from relctl import FileDraft, ReleaseDraft, connect

    with connect("127.0.0.1:50051", token=token) as client:
        client.releases.create("acme", ReleaseDraft(version="app@1.0.0", projects=["web"]))
        client.files.upload("acme", "app@1.0.0", Path("app.tar.gz"), FileDraft(file_name="app.tar.gz"))

Answers are the messages of `releaseregistry.v1`; whatever fails raises `RegistryError` or `LocalError`.
"""

from relctl.client import Client, connect
from relctl.connection import Transport
from relctl.errors import LocalError, RegistryError, Violation
from relctl.files import FileDraft
from relctl.releases import ReleaseDraft

__all__ = [
    "Client",
    "FileDraft",
    "LocalError",
    "RegistryError",
    "ReleaseDraft",
    "Transport",
    "Violation",
    "connect",
]
