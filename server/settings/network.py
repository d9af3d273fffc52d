"""Settings of the network: where the server listens, and what it shows there."""

from __future__ import annotations

import ipaddress
import re
from typing import Final

from server.settings.parsing import yes_or_no
from server.settings.setting import Setting

_ADDRESS: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:/\[\]]+):(\d{1,5})")


def address(text: str) -> str:
    """The text, which is host:port. Raises ValueError."""
    found = _ADDRESS.fullmatch(text)
    if not found or int(found[2]) > 65535:
        raise ValueError("must be host:port, such as 127.0.0.1:50051 or [::1]:50051, with a port up to 65535")
    return text


SETTINGS: Final = (
    Setting(
        "listen",
        "127.0.0.1:50051",
        "host:port",
        "Where to listen. Port 0 takes any free one.",
        address,
    ),
    Setting(
        "reflection",
        "yes",
        "yes or no",
        "Whether the server describes its services to anyone who asks, as grpcurl does.",
        yes_or_no,
    ),
)


def is_loopback(address: str) -> bool:
    """Whether an address of the form host:port is reached from this machine only."""
    host = address.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
