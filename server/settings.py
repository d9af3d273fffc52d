"""Settings: one table of what can be set, and the only reader of the environment.

The table makes the flags, their help, `docs/settings.md` and the checks, so they cannot disagree. A wrong setting
raises SettingWrong, one line for the operator.
"""

from __future__ import annotations

import argparse
import difflib
import ipaddress
import os
import re
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from store.database.opening import is_well_formed

PREFIX: Final = "RELEASES_"
DEFAULT_MAX_FILE_BYTES: Final = 10 * 2**30

_MAY_HOLD_SECRETS: Final = frozenset({"database", "s3_endpoint"})  # as user:password@host

_BUCKET: Final = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9!_.*'()-]+)*/?")
_ENDPOINT: Final = re.compile(r"https?://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(:\d{1,5})?/?")
_REGION: Final = re.compile(r"[A-Za-z0-9-]{1,64}")
_ADDRESS: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:/\[\]]+):(\d{1,5})")


class SettingWrong(Exception):
    """A setting cannot be used; the text is one line that names it, without the value of a secret one."""


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
    allow_plain_text: bool
    reflection: bool
    max_file_bytes: int
    grace_seconds: int
    call_slots: int
    stream_slots: int
    call_seconds: int
    silence_seconds: int
    drain_seconds: int
    log_level: str

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
    def uses_sqlite(self) -> bool:
        """Whether the database is a file, which one server process has to itself."""
        return self.database.startswith("sqlite:")


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table: `parse` turns text into the value or raises ValueError with what is expected."""

    name: str
    default: str
    unit: str
    doc: str
    parse: Callable[[str], Any]
    is_secret: bool = False

    @property
    def variable(self) -> str:
        """Its environment variable."""
        return PREFIX + self.name.upper()

    @property
    def flag(self) -> str | None:
        """Its flag; None for a secret, which every process of the machine could read there."""
        return None if self.is_secret else "--" + self.name.replace("_", "-")


def _address(text: str) -> str:
    found = _ADDRESS.fullmatch(text)
    if not found or int(found[2]) > 65535:
        raise ValueError("must be host:port, such as 127.0.0.1:50051 or [::1]:50051, with a port up to 65535")
    return text


def _folder(text: str) -> Path:
    path = Path(text).expanduser().absolute()
    if not text or (path.exists() and not path.is_dir()):
        raise ValueError("must be a folder")
    return path


def _file(text: str) -> Path | None:
    if not text:
        return None
    path = Path(text).expanduser().absolute()
    if not path.is_file() or not os.access(path, os.R_OK):
        raise ValueError("must be a file that the server may read")
    return path


def _database(text: str) -> str:
    if text and not is_well_formed(text):
        raise ValueError(
            "must be sqlite:///absolute/path.db or postgresql://user:password@host/name, in which other signs than "
            "letters and digits are written as %25 is for %"
        )
    return text


def _blobs(text: str) -> str:
    # S3 clients fold "." and ".." away.
    if text and (not _BUCKET.fullmatch(text) or {".", ".."} & set(text.split("/"))):
        raise ValueError("must be s3://bucket or s3://bucket/prefix, in letters, digits and !_.*'()-")
    return text


def _endpoint(text: str) -> str:
    if text and not _ENDPOINT.fullmatch(text):
        raise ValueError("must be https://host or https://host:port, without a path")
    return text.rstrip("/")


def _region(text: str) -> str:
    if not _REGION.fullmatch(text):
        raise ValueError("must be the name of a region, such as us-east-1")
    return text


def _text(text: str) -> str:
    return text


def _secret(text: str) -> str | None:
    return text or None


def _number(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"\d{1,18}", text, re.ASCII) or not least <= int(text) <= most:
            raise ValueError(f"must be a whole number from {least} to {most}")
        return int(text)

    return parse


def _choice(*words: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text.lower() not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return text.lower()

    return parse


def _yes_or_no(text: str) -> bool:
    if text.lower() not in ("yes", "true", "1", "on", "no", "false", "0", "off"):
        raise ValueError("must be yes or no")
    return text.lower() in ("yes", "true", "1", "on")


TABLE: Final = (
    Setting(
        "listen",
        "127.0.0.1:50051",
        "host:port",
        "Where to listen. Port 0 takes any free one.",
        _address,
    ),
    Setting(
        "data",
        "${XDG_DATA_HOME:-~/.local/share}/release-registry",
        "folder",
        "Where files, the SQLite database and the operator's token are kept. Made when it does not exist.",
        _folder,
    ),
    Setting(
        "database",
        "",
        "URL",
        "`sqlite:///absolute/path.db` or `postgresql://user:password@host/name` (15 or newer). Empty: `registry.db` in "
        "the data folder. A URL with a password is better set by the variable, which other users cannot read.",
        _database,
    ),
    Setting(
        "pooler",
        "session",
        "session or transaction",
        "`transaction` when PostgreSQL is reached through a pooler in transaction mode, such as pgbouncer: statements "
        "are then not prepared on the server.",
        _choice("session", "transaction"),
    ),
    Setting(
        "blobs",
        "",
        "URL",
        "Where the bytes of files are kept: `s3://bucket/prefix` is a bucket of any S3-compatible service, which must "
        "exist; the prefix is the registry's alone. Empty: the folder `blobs` in the data folder.",
        _blobs,
    ),
    Setting(
        "s3_endpoint",
        "",
        "URL",
        "The service that has the bucket, such as `https://s3.example.com:9000`. Empty: Amazon's of the region.",
        _endpoint,
    ),
    Setting("s3_region", "us-east-1", "region", "The bucket's region.", _region),
    Setting(
        "s3_access_key_id",
        "",
        "text",
        "Who the server is to the service. Empty: what Amazon's own variables, web identity or the machine's role say.",
        _text,
    ),
    Setting(
        "s3_secret_access_key", "", "text", "The secret of the access key; both or neither.", _secret, is_secret=True
    ),
    Setting(
        "s3_session_token",
        "",
        "text",
        "The session's token, where the access key is a temporary one.",
        _secret,
        is_secret=True,
    ),
    Setting(
        "s3_path_style",
        "yes",
        "yes or no",
        "Whether the bucket stands in the path of a request; `no` puts it before the name of the host.",
        _yes_or_no,
    ),
    Setting(
        "s3_allow_http",
        "no",
        "yes or no",
        "Whether the endpoint may be `http://`: contents travel readable. Requests are signed all the same.",
        _yes_or_no,
    ),
    Setting(
        "bootstrap_token",
        "",
        "20 to 200 visible ASCII characters",
        "The secret of the operator's first token, used when the database has none yet. Empty: one is made and kept in "
        "`operator-token` in the data folder, readable by its owner only.",
        _secret,
        is_secret=True,
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
        _yes_or_no,
    ),
    Setting(
        "reflection",
        "yes",
        "yes or no",
        "Whether the server describes its services to anyone who asks, as grpcurl does.",
        _yes_or_no,
    ),
    Setting(
        "max_file_bytes",
        str(DEFAULT_MAX_FILE_BYTES),
        "bytes, 1 to 1099511627776",
        "The largest file that is taken.",
        _number(1, 2**40),
    ),
    Setting(
        "grace_seconds",
        str(24 * 3600),
        "seconds",
        "How long bytes that no file refers to any more are kept before they are removed.",
        _number(3600, 10 * 365 * 24 * 3600),
    ),
    Setting(
        "call_slots",
        "64",
        "calls, 1 to 1000",
        "How many unary calls are worked on at a time; further ones are refused with CALLS_BUSY.",
        _number(1, 1000),
    ),
    Setting(
        "stream_slots",
        "24",
        "calls, 1 to 1000",
        "How many uploads, downloads and SetCommits are worked on at a time; further ones are refused with "
        "STREAMS_BUSY. One connection reaches at most 96 slots of both kinds.",
        _number(1, 1000),
    ),
    Setting(
        "call_seconds",
        "60",
        "seconds, 1 to 3600",
        "How long a unary call may take, whatever deadline its caller sets.",
        _number(1, 3600),
    ),
    Setting(
        "silence_seconds",
        "300",
        "seconds, 5 to 86400",
        "How long a stream may neither send what it is waited for nor take what it is sent, before it is cancelled.",
        _number(5, 86400),
    ),
    Setting(
        "drain_seconds",
        "30",
        "seconds, 0 to 3600",
        "How long running calls get to end after SIGTERM; streams that go on for longer are then ended with DRAINING. "
        "A second signal ends the grace at once.",
        _number(0, 3600),
    ),
    Setting(
        "log_level",
        "info",
        "debug, info, warning or error",
        "What the log on standard error holds; debug has a line for every call.",
        _choice("debug", "info", "warning", "error"),
    ),
)


def read_settings(
    arguments: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    *,
    program: str = "release-server serve",
    own: Sequence[argparse.ArgumentParser] = (),
) -> Settings:
    """The settings of this process: flags before variables before defaults; `environment` is os.environ when None.

    `own` are parsers of flags that the program has besides; they are taken and told first in its help, and ignored.
    Raises SettingWrong. Flags that do not exist end the process with 78, `--help` with 0, as argparse does.
    """
    found = os.environ if environment is None else environment
    _refuse_unknown(found)
    flags = vars(_parser(program, own).parse_args(list(arguments)))
    values: dict[str, Any] = {}
    said: dict[str, str] = {}
    for setting in TABLE:
        flag = flags.get(setting.name)
        text = flag if flag is not None else found.get(setting.variable)
        where = setting.variable if flag is None else str(setting.flag)
        if text is not None:
            said[setting.name] = where
        else:
            text = str(default_data_folder(found)) if setting.name == "data" else setting.default
        try:
            values[setting.name] = setting.parse(text)
        except ValueError as error:
            shown = "" if setting.is_secret or setting.name in _MAY_HOLD_SECRETS else f"={text!r}"
            raise SettingWrong(f"{where}{shown}: {error}.") from None
    return _consistent(values, said)


def default_data_folder(environment: Mapping[str, str] | None = None) -> Path:
    """Where data is kept when nothing is said: `release-registry` in the user's folder for data."""
    # An XDG folder that is not absolute counts as not set: https://specifications.freedesktop.org/basedir-spec/latest/
    parent = (os.environ if environment is None else environment).get("XDG_DATA_HOME", "")
    return (Path(parent) if parent.startswith("/") else Path("~/.local/share").expanduser()) / "release-registry"


def is_loopback(address: str) -> bool:
    """Whether an address of the form host:port is reached from this machine only."""
    host = address.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def markdown() -> str:
    """The page of all settings, `docs/settings.md`."""
    lines = [
        "# Settings",
        "",
        "Every setting is a variable, and a flag of `release-server serve`; the flag wins. A wrong value, and a",
        f"variable that begins with `{PREFIX}` and is no setting, is refused at start in one line, with exit code 78.",
        "This page is printed by `release-server settings`.",
        "",
        "| variable | flag | default | value | meaning |",
        "| --- | --- | --- | --- | --- |",
    ]
    for setting in TABLE:
        flag = f"`{setting.flag}`" if setting.flag else "none: secret"
        default = f"`{setting.default}`" if setting.default else "empty"
        lines.append(f"| `{setting.variable}` | {flag} | {default} | {setting.unit} | {setting.doc} |")
    return "\n".join(lines) + "\n"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        raise SettingWrong(f"{message}. `{self.prog} --help` tells the flags.")


def _parser(program: str, own: Sequence[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    secrets = ", ".join(setting.variable for setting in TABLE if setting.is_secret)
    parser = _Parser(
        prog=program,
        parents=list(own),
        description="Every flag can be set as a variable, too: --tls-key as RELEASES_TLS_KEY.",
        epilog=f"Set only as a variable: {secrets}. docs/settings.md tells them all.",
        allow_abbrev=False,
    )
    for setting in TABLE:
        if setting.flag:
            default = setting.default or "empty"
            text = f"{setting.doc} [{setting.unit}; {default}]".replace("%", "%%")
            parser.add_argument(setting.flag, dest=setting.name, metavar="VALUE", help=text)
    return parser


def _refuse_unknown(environment: Mapping[str, str]) -> None:
    known = [setting.name.upper() for setting in TABLE]
    for variable in sorted(environment):
        if variable.startswith(PREFIX) and variable.removeprefix(PREFIX) not in known:
            close = difflib.get_close_matches(variable.removeprefix(PREFIX), known, 1)
            hint = f"Did you mean {PREFIX}{close[0]}?" if close else "`release-server settings` tells them all."
            raise SettingWrong(f"{variable} is no setting. {hint}")


def _consistent(values: dict[str, Any], said: Mapping[str, str]) -> Settings:
    """The settings, checked against one another; `said` holds by what flag or variable each was set, if it was."""

    def called(name: str, *, beside: str) -> str:
        """What to call a setting: as it was set, else in the way in which the one beside it was."""
        setting = next(each for each in TABLE if each.name == name)
        as_flag = said.get(name, said[beside]).startswith("--")
        return str(setting.flag) if as_flag else setting.variable

    if not values["database"]:
        values["database"] = f"sqlite://{values['data']}/registry.db"
    settings = Settings(**values)
    _check_bucket(settings)
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
    return settings


def _check_bucket(settings: Settings) -> None:
    """The settings of S3 fit each other, and are not set in vain."""
    if not settings.blobs:
        named = {
            "RELEASES_S3_ENDPOINT": settings.s3_endpoint,
            "RELEASES_S3_ACCESS_KEY_ID": settings.s3_access_key_id,
            "RELEASES_S3_SECRET_ACCESS_KEY": settings.s3_secret_access_key,
            "RELEASES_S3_SESSION_TOKEN": settings.s3_session_token,
        }
        for variable, value in named.items():
            if value:
                raise SettingWrong(f"{variable} is set, but RELEASES_BLOBS names no bucket.")
        return
    if bool(settings.s3_access_key_id) != bool(settings.s3_secret_access_key):
        missing = "RELEASES_S3_ACCESS_KEY_ID" if settings.s3_secret_access_key else "RELEASES_S3_SECRET_ACCESS_KEY"
        raise SettingWrong(f"{missing} is not set: an access key is an id and its secret, or neither.")
    if settings.s3_session_token and not settings.s3_access_key_id:
        raise SettingWrong("RELEASES_S3_ACCESS_KEY_ID is not set: a session's token belongs to a temporary access key.")
    if settings.s3_endpoint.startswith("http://") and not settings.s3_allow_http:
        raise SettingWrong(
            "RELEASES_S3_ENDPOINT is http://, where contents would travel readable: name https://, or set "
            "RELEASES_S3_ALLOW_HTTP=yes."
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
