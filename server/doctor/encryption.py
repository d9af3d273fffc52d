"""Certificates: what is served, for how long, under which names, and who may read its key."""

from __future__ import annotations

import ipaddress
import stat
from collections.abc import Iterator
from pathlib import Path

from server.doctor.findings import Finding, ok, problem, warning
from server.settings import Settings, is_loopback
from server.tls.certificates import names_in, read_pair, whole_days_until
from server.tls.reloading import WARN_DAYS
from server.words import counted


def look_at_encryption(settings: Settings) -> Iterator[Finding]:
    """The certificate that the settings name. That it is a pair with its key was seen when they were read."""
    if settings.tls_certificate is None or settings.tls_key is None:
        if is_loopback(settings.listen):
            yield ok("TLS", "off; the address is loopback")
        else:
            yield warning("TLS", f"off: tokens travel readable to {settings.listen}; a proxy must end TLS before it")
        return
    pair = read_pair(settings.tls_certificate, settings.tls_key)
    days = whole_days_until(pair.expire_time)
    until = f"{pair.expire_time:%Y-%m-%d}"
    if days < 0:
        yield problem("certificate", f"{settings.tls_certificate} ended on {until}: renew it, then SIGHUP")
    elif days < WARN_DAYS:
        yield warning("certificate", f"{settings.tls_certificate} ends on {until}, in {counted(days, 'day')}: renew it")
    else:
        yield ok("certificate", f"{settings.tls_certificate} is good until {until}")
    yield from _look_at_names(settings, names_in(settings.tls_certificate))
    yield from _look_at_key(settings.tls_key)


def _look_at_names(settings: Settings, names: tuple[str, ...]) -> Iterator[Finding]:
    host = settings.listen.rpartition(":")[0].strip("[]")
    if not names:
        yield problem("certificate", "it is for no name (no subjectAltName): clients refuse it")
    elif host not in names and not _is_any(host) and not is_loopback(settings.listen):
        yield warning("certificate", f"it is for {', '.join(names)}, not for {host}: clients must call it by those")
    else:
        yield ok("certificate", f"it is for {', '.join(names)}")


def _look_at_key(key: Path) -> Iterator[Finding]:
    mode = stat.S_IMODE(key.stat().st_mode)
    if mode & 0o007:
        yield problem("private key", f"everyone of this machine may reach {key} (mode {mode:04o}): chmod 600")
    elif mode & 0o070:
        yield warning("private key", f"a group may reach {key} (mode {mode:04o}): chmod 600, unless that is meant")
    else:
        yield ok("private key", f"only its owner reads {key}")


def _is_any(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False
