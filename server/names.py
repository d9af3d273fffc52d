"""Resource names: the text that a request names a thing by, taken apart and put together.

Nothing is escaped or trimmed: a version stands in the name of its release as it is. Parsing checks the form only;
whether the thing exists is the store's business. See behaviour.md, Names.
"""

from __future__ import annotations

import re
import uuid
from typing import Final, NamedTuple

from server.edge.errors import InvalidName
from store.releases.version import InvalidVersion, check_version

ORGANIZATION_FORM: Final = "organizations/{organization}"
PROJECT_FORM: Final = "organizations/{organization}/projects/{project}"
REPOSITORY_FORM: Final = "organizations/{organization}/repositories/{repository}"
TOKEN_FORM: Final = "organizations/{organization}/tokens/{token} or tokens/{token}"  # noqa: S105 - a form, no secret
RELEASE_FORM: Final = "organizations/{organization}/releases/{version}"
UPLOAD_FORM: Final = "organizations/{organization}/uploads/{upload_id}"
FILE_FORM: Final = "organizations/{organization}/releases/{version}/files/{file}"
THRESHOLD_FORM: Final = "organizations/{organization}/projects/{project}/thresholds/{threshold}"
RELEASES_FORM: Final = "organizations/{organization}/releases/{version} or organizations/{organization}/releases/-"

EVERY_RELEASE: Final = "-"
"""The version in a parent that stands for all releases: no release is called so."""

_SLUG: Final = r"([a-z0-9_-]{1,50})"
_UUID: Final = r"([0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12})"
_ORGANIZATION: Final = re.compile(rf"organizations/{_SLUG}")
_PROJECT: Final = re.compile(rf"organizations/{_SLUG}/projects/{_SLUG}")
_REPOSITORY: Final = re.compile(rf"organizations/{_SLUG}/repositories/{_UUID}")
_TOKEN: Final = re.compile(rf"(?:organizations/{_SLUG}/)?tokens/{_UUID}")
_RELEASE: Final = re.compile(rf"organizations/{_SLUG}/releases/([^/]+)")
_UPLOAD: Final = re.compile(rf"organizations/{_SLUG}/uploads/{_UUID}")
_FILE: Final = re.compile(rf"organizations/{_SLUG}/releases/([^/]+)/files/{_UUID}")

_THRESHOLD: Final = re.compile(rf"organizations/{_SLUG}/projects/{_SLUG}/thresholds/{_UUID}")


class ProjectName(NamedTuple):
    """The slugs in the name of a project; project is `-` where a list takes all of them."""

    organization: str
    project: str


class RepositoryName(NamedTuple):
    """The slug and the id in the name of a repository."""

    organization: str
    id: bytes


class TokenName(NamedTuple):
    """The slug and the id in the name of a token; no organization for a token of the installation."""

    organization: str | None
    id: bytes


class ReleaseName(NamedTuple):
    """The slug and the version in the name of a release."""

    organization: str
    version: str


class ReleasesName(NamedTuple):
    """The slug and the version in the parent of a list that goes over one release, or over all of them (None)."""

    organization: str
    version: str | None


class UploadName(NamedTuple):
    """The slug and the id in the name of an upload."""

    organization: str
    id: bytes


class FileName(NamedTuple):
    """The slug, the version and the id in the name of a release's file."""

    organization: str
    version: str
    id: bytes


class ThresholdName(NamedTuple):
    """The slugs and the id in the name of a project's threshold."""

    organization: str
    project: str
    id: bytes


def parse_organization(text: str, *, field: str) -> str:
    """The slug in `organizations/{organization}`. Raises InvalidName with `field`, as all parsers here do."""
    return _match(_ORGANIZATION, text, field=field, form=ORGANIZATION_FORM)[1]


def parse_project(text: str, *, field: str) -> ProjectName:
    """The slugs in `organizations/{organization}/projects/{project}`."""
    found = _match(_PROJECT, text, field=field, form=PROJECT_FORM)
    return ProjectName(found[1], found[2])


def parse_repository(text: str, *, field: str) -> RepositoryName:
    """The slug and id in `organizations/{organization}/repositories/{uuid}`."""
    found = _match(_REPOSITORY, text, field=field, form=REPOSITORY_FORM)
    return RepositoryName(found[1], parse_uid(found[2]))


def parse_token(text: str, *, field: str) -> TokenName:
    """The slug, if any, and the id in `organizations/{organization}/tokens/{uuid}` or `tokens/{uuid}`."""
    found = _match(_TOKEN, text, field=field, form=TOKEN_FORM)
    return TokenName(found[1], parse_uid(found[2]))


def parse_release(text: str, *, field: str) -> ReleaseName:
    """The slug and version in `organizations/{organization}/releases/{version}`; the version is a valid one."""
    found = _match(_RELEASE, text, field=field, form=RELEASE_FORM)
    return ReleaseName(found[1], _version(found[2], field=field, form=RELEASE_FORM))


def parse_releases(text: str, *, field: str) -> ReleasesName:
    """The slug and version in `organizations/{organization}/releases/{version}`; of `releases/-` no version."""
    found = _match(_RELEASE, text, field=field, form=RELEASES_FORM)
    if found[2] == EVERY_RELEASE:
        return ReleasesName(found[1], None)
    return ReleasesName(found[1], _version(found[2], field=field, form=RELEASES_FORM))


def parse_upload(text: str, *, field: str) -> UploadName:
    """The slug and id in `organizations/{organization}/uploads/{uuid}`."""
    found = _match(_UPLOAD, text, field=field, form=UPLOAD_FORM)
    return UploadName(found[1], parse_uid(found[2]))


def parse_file(text: str, *, field: str) -> FileName:
    """The slug, version and id in `organizations/{organization}/releases/{version}/files/{uuid}`."""
    found = _match(_FILE, text, field=field, form=FILE_FORM)
    return FileName(found[1], _version(found[2], field=field, form=FILE_FORM), parse_uid(found[3]))


def parse_threshold(text: str, *, field: str) -> ThresholdName:
    """The slugs and id in `organizations/{organization}/projects/{project}/thresholds/{uuid}`."""
    found = _match(_THRESHOLD, text, field=field, form=THRESHOLD_FORM)
    return ThresholdName(found[1], found[2], parse_uid(found[3]))


def organization_name(slug: str) -> str:
    """`organizations/{organization}`."""
    return f"organizations/{slug}"


def project_name(organization: str, slug: str) -> str:
    """`organizations/{organization}/projects/{project}`."""
    return f"organizations/{organization}/projects/{slug}"


def repository_name(organization: str, id: bytes) -> str:  # noqa: A002 - the word of the contract
    """`organizations/{organization}/repositories/{uuid}`."""
    return f"organizations/{organization}/repositories/{uid(id)}"


def token_name(organization: str | None, id: bytes) -> str:  # noqa: A002 - the word of the contract
    """`organizations/{organization}/tokens/{uuid}`, or `tokens/{uuid}` without an organization."""
    return f"tokens/{uid(id)}" if organization is None else f"organizations/{organization}/tokens/{uid(id)}"


def release_name(organization: str, version: str) -> str:
    """`organizations/{organization}/releases/{version}`."""
    return f"organizations/{organization}/releases/{version}"


def upload_name(organization: str, id: bytes) -> str:  # noqa: A002 - what the contract calls it
    """The name of an upload."""
    return f"organizations/{organization}/uploads/{uid(id)}"


def file_name(organization: str, version: str, id: bytes) -> str:  # noqa: A002 - the word of the contract
    """`organizations/{organization}/releases/{version}/files/{uuid}`."""
    return f"organizations/{organization}/releases/{version}/files/{uid(id)}"


def deploy_name(organization: str, version: str, id: bytes) -> str:  # noqa: A002 - the word of the contract
    """`organizations/{organization}/releases/{version}/deploys/{uuid}`."""
    return f"organizations/{organization}/releases/{version}/deploys/{uid(id)}"


def threshold_name(organization: str, project: str, id: bytes) -> str:  # noqa: A002 - the word of the contract
    """`organizations/{organization}/projects/{project}/thresholds/{uuid}`."""
    return f"organizations/{organization}/projects/{project}/thresholds/{uid(id)}"


def uid(id: bytes) -> str:  # noqa: A002 - the word of the contract
    """The 36 characters of an id of 16 bytes."""
    digits = id.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def parse_uid(text: str) -> bytes:
    """The 16 bytes of a UUID whose form was checked."""
    return uuid.UUID(text).bytes


def _match(pattern: re.Pattern[str], text: str, *, field: str, form: str) -> re.Match[str]:
    found = pattern.fullmatch(text)
    if found is None:
        raise InvalidName(field, form)
    return found


def _version(text: str, *, field: str, form: str) -> str:
    try:
        check_version(text)
    except InvalidVersion as error:
        raise InvalidName(field, form, why=f"its version {error.violations[0].description}") from None
    return text
