"""The client: one object that reaches every service."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from relctl.avatars import Avatars
from relctl.comparisons import Comparisons
from relctl.connection import Connection, Transport, check_secrecy, open_channel
from relctl.deploys import Deploys
from relctl.files import Files
from relctl.health import Health
from relctl.organizations import Organizations
from relctl.releases import Releases
from relctl.thresholds import Thresholds
from relctl.tokens import Tokens
from relctl.uploads import Uploads


class Client:
    """The services of one server. Close it in the end, or use it in a `with`; threads may share it."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.organizations = Organizations(connection)
        self.avatars = Avatars(connection)
        self.tokens = Tokens(connection)
        self.releases = Releases(connection)
        self.comparisons = Comparisons(connection)
        self.deploys = Deploys(connection)
        self.files = Files(connection)
        self.uploads = Uploads(connection)
        self.health = Health(connection)
        self.thresholds = Thresholds(connection)

    def close(self) -> None:
        """End the connection; calls that run are cancelled."""
        self.connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def connect(
    server: str,
    *,
    token: str = "",
    caller: str = "",
    transport: Transport | None = None,
    deadline_seconds: float | None = None,
) -> Client:
    """Make a client of the server at `host:port`; the port is 50051 when none is said. Nothing travels yet.

    `token` is sent with every call; `caller` (at most 200 printable ASCII characters) says on whose behalf, and is kept
    with activities. `deadline_seconds` is for each call that does not stream, 30 when not said. Calls that fail with
    UNAVAILABLE are repeated: those that the service config beside the protos lists, and those that carry a request_id,
    which the client makes. Raises LocalError when token, caller or transport cannot be used, or the token would leave
    this machine readable.
    """
    transport = transport or Transport()
    if token:
        check_secrecy(server, transport)
    channel = open_channel(server, transport)
    return Client(Connection(channel, token=token, caller=caller, deadline_seconds=deadline_seconds))
