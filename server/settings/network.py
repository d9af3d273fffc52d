"""Settings of the network: where the server listens, its certificate, and what it shows there."""

from __future__ import annotations

import ipaddress
import os
import re
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from server.settings.parsing import yes_or_no
from server.settings.setting import Setting, SettingWrong
from server.settings.values import Settings

_ADDRESS: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:/\[\]]+):(\d{1,5})")


def _address(text: str) -> str:
    found = _ADDRESS.fullmatch(text)
    if not found or int(found[2]) > 65535:
        raise ValueError("must be host:port, such as 127.0.0.1:50051 or [::1]:50051, with a port up to 65535")
    return text


def _file(text: str) -> Path | None:
    if not text:
        return None
    path = Path(text).expanduser().absolute()
    if not path.is_file() or not os.access(path, os.R_OK):
        raise ValueError("must be a file that the server may read")
    return path


SETTINGS: Final = (
    Setting(
        "listen",
        "127.0.0.1:50051",
        "host:port",
        "Where to listen. Port 0 takes any free one.",
        _address,
    ),
    Setting(
        "tls_certificate",
        "",
        "file",
        "The server's certificate chain, PEM. Set together with the key, it turns TLS on.",
        _file,
    ),
    Setting("tls_key", "", "file", "The private key of the certificate, PEM.", _file),
    Setting(
        "allow_plain_text",
        "no",
        "yes or no",
        "Listen beyond loopback without TLS, for servers behind a proxy that ends TLS. Tokens travel readable.",
        yes_or_no,
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


def check_encryption(settings: Settings, said: Mapping[str, str]) -> None:
    """The certificate and its key are a pair, and nothing beyond loopback is served without; raises SettingWrong.

    `said` holds by what flag or variable each setting was set, if it was.
    """

    def called(name: str, *, beside: str) -> str:
        """What to call a setting: as it was set, else in the way in which the one beside it was."""
        setting = next(each for each in SETTINGS if each.name == name)
        as_flag = said.get(name, said[beside]).startswith("--")
        return str(setting.flag) if as_flag else setting.variable

    if (settings.tls_certificate is None) != (settings.tls_key is None):
        given, missing = ("tls_certificate", "tls_key")[:: 1 if settings.tls_key is None else -1]
        raise SettingWrong(
            f"{called(missing, beside=given)} is not set: TLS needs the certificate and its key, or neither."
        )
    if settings.tls_certificate is not None and settings.tls_key is not None:
        _check_pair(
            settings.tls_certificate,
            settings.tls_key,
            names=(said["tls_certificate"], said["tls_key"]),
        )
    if settings.tls_certificate is None and not settings.allow_plain_text and not is_loopback(settings.listen):
        certificate, key, plain = (
            called(name, beside="listen") for name in ("tls_certificate", "tls_key", "allow_plain_text")
        )
        raise SettingWrong(
            f"{said['listen']}={settings.listen!r} is beyond loopback, where tokens would travel readable: set "
            f"{certificate} and {key}, or, behind a proxy with TLS, {plain}=yes."
        )


def _check_pair(certificate: Path, key: Path, *, names: tuple[str, str]) -> None:
    """Refuse what grpc would refuse without saying why."""
    try:
        # An empty password: else OpenSSL would ask for that of an encrypted key, on the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
    except (OSError, ValueError):
        raise SettingWrong(
            f"{names[0]}={str(certificate)!r} and {names[1]}={str(key)!r} are no pair: a "
            "certificate chain and its private key are needed, both PEM, the key not encrypted."
        ) from None
