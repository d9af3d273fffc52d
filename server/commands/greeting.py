"""What a start tells a person: where the server listens, where its things are, and what to try next."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path
from typing import Final

from server.settings import Settings, default_data_folder, is_loopback
from server.tls.certificates import names_in

# Addresses that are listened on, and how a client of this machine calls them.
_ANY_ADDRESS: Final = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104 - names it, listens on nothing


def greet(settings: Settings, address: str, *, made_operator_token: bool) -> None:
    """Tell a person what to try next: on a terminal at every start, elsewhere at the one that made the token.

    A log collector so gets the JSON line alone, but whoever set the server up finds the token's place in its log.
    """
    if not (made_operator_token or sys.stdout.isatty()):
        return
    if settings.bootstrap_token is not None:
        token = "the value of RELEASES_BOOTSTRAP_TOKEN"  # noqa: S105 - says where it is
    elif settings.operator_token_file.exists():
        token = str(settings.operator_token_file)
    else:
        token = "not kept here; `release-server token create` makes another"  # noqa: S105 - says where it is
    kind = "" if settings.tls_certificate else " (plain text)"
    lines = [
        f"Release registry listens on {address}{kind}",
        f"  data              {settings.data}",
        *([f"  files             {settings.blobs}"] if settings.blobs else []),
        f"  operator's token  {token}",
        "Try next, in another terminal:",
        f"  {_environment(settings, address)}{_relctl()} org create acme",
    ]
    print("\n".join(lines), flush=True)


def _environment(settings: Settings, listening: str) -> str:
    """What the next command must be told because it is not as it expects by itself."""
    host, _, port = listening.rpartition(":")
    address = f"{_ANY_ADDRESS.get(host, host)}:{port}"
    words = []
    if settings.tls_certificate is None:
        if address != "127.0.0.1:50051":
            words.append(f"RELCTL_SERVER={address}")
    else:
        # By a name that it is for, and trusted whoever signed it.
        words.append(f"RELCTL_SERVER={_certified(settings.tls_certificate, _ANY_ADDRESS.get(host, host))}:{port}")
        words.append(f"RELCTL_TLS_CA={shlex.quote(str(settings.tls_certificate))}")
    if settings.tls_client_ca is not None:
        words.append("RELCTL_CERTIFICATE=YOURS.pem RELCTL_KEY=YOURS.key")
    if settings.bootstrap_token is not None:
        words.append("RELCTL_TOKEN=$RELEASES_BOOTSTRAP_TOKEN")
    elif not settings.operator_token_file.exists():
        words.append("RELCTL_TOKEN=SECRET")
    elif settings.data != default_data_folder() or not is_loopback(address):  # where, and for whom, relctl looks
        words.append(f"RELCTL_TOKEN=$(cat {shlex.quote(str(settings.operator_token_file))})")
    return "".join(word + " " for word in words)


def _certified(certificate: Path, host: str) -> str:
    """The host, if the server's certificate is for it, else a name that it is for."""
    names = [name for name in names_in(certificate) if "*" not in name]
    plain = host.strip("[]")
    if not names or plain in names:
        return host
    return f"[{names[0]}]" if ":" in names[0] else names[0]


def _relctl() -> str:
    """How a shell finds `relctl`: by its name, else where it is installed beside this program, as `make serve` does."""
    beside = Path(sys.executable).with_name("relctl")
    return "relctl" if shutil.which("relctl") or not beside.exists() else str(beside)
