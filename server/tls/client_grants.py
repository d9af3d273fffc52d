"""The file that says for whom the names in clients' certificates stand.

    [[client]]
    uri = "spiffe://example.com/ci"       # or dns = "ci.example.com", or email = "ci@example.com"
    organization = "acme"
    scopes = ["release:write"]
    projects = ["web"]                    # or all_projects = true

A client without an organization is the installation's, and needs the scope installation:admin: nobody comes to that by
leaving a line away.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from store.access.certificates import CertificateGrant
from store.access.scopes import INSTALLATION_ADMIN, SCOPES
from store.organizations.slugs import slug_problem

MAX_NAME_CHARS: Final = 500
MAX_PROJECTS: Final = 1000

DNS: Final = "DNS"
URI: Final = "URI"
EMAIL: Final = "email"
_KINDS: Final = MappingProxyType({"dns": DNS, "uri": URI, "email": EMAIL})
_OTHER_KEYS: Final = ("organization", "scopes", "all_projects", "projects")

Grants = Mapping[str, CertificateGrant]
"""By name, such as `DNS:ci.example.com`."""


class GrantsWrong(Exception):
    """The file cannot be used; the text is one line that names it."""


def read_grants(file: Path, *, name: str | None = None) -> Grants:
    """What the file says; `name` is what to call it in an error. Raises GrantsWrong."""
    called = name or str(file)
    try:
        told = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise GrantsWrong(f"{called} cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise GrantsWrong(f"{called} is no TOML: {error}.") from None
    clients = told.pop("client", [])
    if told or not isinstance(clients, list):
        raise GrantsWrong(f"{called} may hold nothing but tables [[client]].")
    grants: dict[str, CertificateGrant] = {}
    for number, client in enumerate(clients, 1):
        try:
            grant = _grant(client)
            if grant.name in grants:
                raise ValueError(f"{grant.name} stands there twice")
        except ValueError as error:
            raise GrantsWrong(f"{called}, client {number}: {error}.") from None
        grants[grant.name] = grant
    return grants


def name_of(kind: str, value: str) -> str:
    """A name with its kind, as grants are kept by. A host's name is the same in any case."""
    return f"{kind}:{value.lower() if kind == DNS else value}"


def _grant(client: Any) -> CertificateGrant:
    if not isinstance(client, dict):
        raise ValueError("must be a table")
    unknown = sorted(set(client).difference(_KINDS, _OTHER_KEYS))
    if unknown:
        raise ValueError(f"{unknown[0]!r} is no key; there are {', '.join((*_KINDS, *_OTHER_KEYS))}")
    name = _name(client)
    organization = client.get("organization")
    if organization is not None and (not isinstance(organization, str) or slug_problem(organization)):
        raise ValueError("organization must be a slug")
    scopes = _scopes(client, of_installation=organization is None)
    all_projects, projects = client.get("all_projects", False), _texts(client, "projects")
    if not isinstance(all_projects, bool):
        raise ValueError("all_projects must be true or false")
    if projects and all_projects:
        raise ValueError("projects must be empty beside all_projects")
    if organization is None and (projects or all_projects):
        raise ValueError("only a client of an organization may have projects: the installation's reach all")
    if len(projects) > MAX_PROJECTS or any(slug_problem(project) for project in projects):
        raise ValueError(f"projects must be slugs, at most {MAX_PROJECTS:,}")
    return CertificateGrant(name, organization, scopes, all_projects, projects)


def _name(client: dict[str, Any]) -> str:
    kinds = [kind for kind in _KINDS if kind in client]
    if len(kinds) != 1:
        raise ValueError("must have one of dns, uri and email")
    value = client[kinds[0]]
    if not isinstance(value, str) or not 0 < len(value) <= MAX_NAME_CHARS:
        raise ValueError(f"{kinds[0]} must be a text of 1 to {MAX_NAME_CHARS} characters")
    if not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError(f"{kinds[0]} may hold only visible ASCII characters")
    if "*" in value:
        raise ValueError(f"{kinds[0]} must be a whole name, without *")
    if kinds[0] == "uri" and "://" not in value:
        raise ValueError("uri must be a URI, such as spiffe://example.com/ci")
    if kinds[0] == "email" and "@" not in value:
        raise ValueError("email must be an address, such as ci@example.com")
    return name_of(_KINDS[kinds[0]], value)


def _scopes(client: dict[str, Any], *, of_installation: bool) -> tuple[str, ...]:
    scopes = tuple(sorted(set(_texts(client, "scopes"))))
    if not scopes:
        raise ValueError("scopes must name at least one scope")
    for scope in scopes:
        if scope not in SCOPES:
            raise ValueError(f"{scope!r} is no scope; scopes are {', '.join(sorted(SCOPES))}")
    if of_installation and INSTALLATION_ADMIN not in scopes:
        raise ValueError(f"names no organization, which only one with the scope {INSTALLATION_ADMIN} may leave away")
    if not of_installation and INSTALLATION_ADMIN in scopes:
        raise ValueError(f"{INSTALLATION_ADMIN} is only for the installation's, without an organization")
    return scopes


def _texts(client: dict[str, Any], key: str) -> tuple[str, ...]:
    texts = client.get(key, [])
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"{key} must be a list of texts")
    return tuple(texts)
