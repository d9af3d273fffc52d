"""Where the command line gets its settings from: flags, the environment, a file, in this order."""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

import click

from relctl.connection import DEFAULT_PORT, Transport, is_loopback
from relctl.errors import LocalError

DEFAULT_SERVER: Final = f"127.0.0.1:{DEFAULT_PORT}"
WORDS: Final[dict[type, str]] = {bool: "true or false", float: "a number", str: "a text"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """The settings of one run. None: not said anywhere."""

    server: str | None = None
    token: str | None = None
    organization: str | None = None
    tls: bool | None = None
    tls_ca: str | None = None
    certificate: str | None = None
    key: str | None = None
    plain_text: bool | None = None
    caller: str | None = None
    timeout: float | None = None

    def address(self) -> str:
        """The server's address, without the scheme it may have been written with."""
        return (self.server or DEFAULT_SERVER).removeprefix("https://").removeprefix("http://").rstrip("/")

    def transport(self) -> Transport:
        """TLS when asked for, by flag, `https://` or certificates; else wherever bytes leave this machine."""
        tls = self.tls
        if tls is None and (self.server or "").startswith(("https://", "http://")):
            tls = (self.server or "").startswith("https://")
        if tls is None:
            tls = bool(self.tls_ca or self.certificate) or not is_loopback(self.address())
        return Transport(
            tls=tls,
            ca_file=_path(self.tls_ca) if tls else None,
            certificate=_path(self.certificate) if tls else None,
            key=_path(self.key) if tls else None,
            allow_plain_text=bool(self.plain_text),
        )

    def secret(self) -> str:
        """The token to send: the one said, else the operator's where a server of this machine left it, else none.

        With a certificate only the one said: whoever presents one means to be known by it.
        """
        if self.token:
            return self.token.strip()
        if self.certificate or not is_loopback(self.address()):
            return ""
        try:
            return operator_token_file().read_text(encoding="utf-8").strip()
        except OSError:
            return ""


def operator_token_file() -> Path:
    """Where a server that keeps its data in the usual place leaves its operator's token."""
    data = os.environ.get("RELEASES_DATA")
    if data:
        return Path(data).expanduser() / "operator-token"
    return _folder("XDG_DATA_HOME", "~/.local/share") / "release-registry" / "operator-token"


def configuration_file() -> Path:
    """The file of settings: RELCTL_CONFIG, else `relctl.toml` in the user's configuration folder."""
    named = os.environ.get("RELCTL_CONFIG")
    if named:
        return Path(named).expanduser()
    return _folder("XDG_CONFIG_HOME", "~/.config") / "relctl.toml"


def configure(said: dict[str, Any]) -> Configuration:
    """The settings, of what flags and environment said, and for the rest of the file.

    Raises click.UsageError when the file does not hold what it may, LocalError when it cannot be read.
    """
    return Configuration(**{**_read_file(), **{key: value for key, value in said.items() if value is not None}})


def _folder(variable: str, default: str) -> Path:
    # One that is not absolute counts as not set: https://specifications.freedesktop.org/basedir-spec/latest/
    said = os.environ.get(variable, "")
    return Path(said) if said.startswith("/") else Path(default).expanduser()


def _path(text: str | None) -> Path | None:
    return Path(text).expanduser() if text else None


def _read_file() -> dict[str, Any]:
    path = configuration_file()
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if os.environ.get("RELCTL_CONFIG"):
            raise LocalError(f"there is no file {path}, which RELCTL_CONFIG names") from None
        return {}
    except OSError as error:
        raise LocalError(f"cannot read {path}: {error.strerror}") from None
    except ValueError as error:
        raise click.UsageError(f"{path} is no TOML: {error}") from None
    kinds: dict[str, tuple[type, ...]] = {"tls": (bool,), "plain_text": (bool,), "timeout": (int, float)}
    known = [field.name for field in fields(Configuration)]
    for key, value in values.items():
        if key not in known:
            raise click.UsageError(f"{path}: {key!r} is no setting; there are {', '.join(known)}")
        kind = kinds.get(key, (str,))
        if not isinstance(value, kind) or (isinstance(value, bool) and bool not in kind):
            raise click.UsageError(f"{path}: {key} must be {WORDS[kind[-1]]}")
        if isinstance(value, (int, float)) and not isinstance(value, bool) and value <= 0:
            raise click.UsageError(f"{path}: {key} must be above 0")
    return values
