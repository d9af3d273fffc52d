"""Settings of TLS: the server's certificate, whose clients it believes, and who they are."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from server.settings.network import is_loopback
from server.settings.parsing import yes_or_no
from server.settings.setting import Setting, SettingWrong
from server.settings.values import Settings
from server.tls.certificates import CertificateWrong, read_authorities, read_pair
from server.tls.client_grants import GrantsWrong, read_grants


def _file(text: str) -> Path | None:
    if not text:
        return None
    path = Path(text).expanduser().absolute()
    if not path.is_file() or not os.access(path, os.R_OK):
        raise ValueError("must be a file that the server may read")
    return path


SETTINGS: Final = (
    Setting(
        "tls_certificate",
        "",
        "file",
        "The server's certificate chain, PEM. Set together with the key, it turns TLS on. Read anew at SIGHUP, as the "
        "other files of TLS are.",
        _file,
    ),
    Setting("tls_key", "", "file", "The private key of the certificate, PEM.", _file),
    Setting(
        "tls_client_ca",
        "",
        "file",
        "Certificates of authorities, PEM. Set, every client needs a certificate that one of them signed.",
        _file,
    ),
    Setting(
        "tls_clients",
        "",
        "file",
        "TOML that says for whom the names in clients' certificates stand, so that these call without a token "
        "(docs/operations.md). Empty: certificates open the connection, and tokens call.",
        _file,
    ),
    Setting(
        "allow_plain_text",
        "no",
        "yes or no",
        "Listen beyond loopback without TLS, for servers behind a proxy that ends TLS. Tokens travel readable.",
        yes_or_no,
    ),
)


def check_encryption(settings: Settings, said: Mapping[str, str]) -> None:
    """The files of TLS can be used, and nothing beyond loopback is served without; raises SettingWrong.

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
    for name, needed in (("tls_client_ca", "tls_certificate"), ("tls_clients", "tls_client_ca")):
        if getattr(settings, name) is not None and getattr(settings, needed) is None:
            raise SettingWrong(f"{called(needed, beside=name)} is not set, and without it {said[name]} does nothing.")
    try:
        _read_all(settings, said)
    except (CertificateWrong, GrantsWrong) as error:
        raise SettingWrong(str(error)) from None
    if settings.tls_certificate is None and not settings.allow_plain_text and not is_loopback(settings.listen):
        certificate, key, plain = (
            called(name, beside="listen") for name in ("tls_certificate", "tls_key", "allow_plain_text")
        )
        raise SettingWrong(
            f"{said['listen']}={settings.listen!r} is beyond loopback, where tokens would travel readable: set "
            f"{certificate} and {key}, or, behind a proxy with TLS, {plain}=yes."
        )


def _read_all(settings: Settings, said: Mapping[str, str]) -> None:
    """Refuse now what could not be used later: grpc would refuse it without saying why."""

    def named(name: str, file: Path) -> str:
        return f"{said[name]}={str(file)!r}"

    certificate, key = settings.tls_certificate, settings.tls_key
    if certificate is not None and key is not None:
        read_pair(certificate, key, names=(named("tls_certificate", certificate), named("tls_key", key)))
    if settings.tls_client_ca is not None:
        read_authorities(settings.tls_client_ca, name=named("tls_client_ca", settings.tls_client_ca))
    if settings.tls_clients is not None:
        read_grants(settings.tls_clients, name=named("tls_clients", settings.tls_clients))
