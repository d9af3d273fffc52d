"""Resource names, made of their parts and taken apart again. Nothing is escaped in them."""

from __future__ import annotations


def organization_name(organization: str) -> str:
    """The name of an organization, of its slug; a full name is answered as it is."""
    return organization if organization.startswith("organizations/") else f"organizations/{organization}"


def project_name(organization: str, project: str) -> str:
    """The name of a project, of two slugs."""
    return f"{organization_name(organization)}/projects/{project}"


def repository_name(organization: str, uid: str) -> str:
    """The name of a repository, of the organization's slug and the repository's uid."""
    return f"{organization_name(organization)}/repositories/{uid}"


def token_name(organization: str | None, uid: str) -> str:
    """The name of a token; one without an organization is the installation's."""
    return f"{organization_name(organization)}/tokens/{uid}" if organization else f"tokens/{uid}"


def release_name(organization: str, version: str) -> str:
    """The name of a release. The version stands in it as it is."""
    return f"{organization_name(organization)}/releases/{version}"


def release_file_name(organization: str, version: str, uid: str) -> str:
    """The name of a file of a release, of the file's uid."""
    return f"{release_name(organization, version)}/files/{uid}"


def threshold_name(organization: str, project: str, uid: str) -> str:
    """The name of a threshold, of the slugs of its organization and project and its own uid."""
    return f"{project_name(organization, project)}/thresholds/{uid}"


def project_of(name: str) -> str:
    """The slug of the project in the name of one, or of something of it."""
    return name.split("/projects/", 1)[-1].split("/", 1)[0]


def version_of(name: str) -> str:
    """The version in the name of a release or of something of it."""
    return name.split("/releases/", 1)[-1].split("/", 1)[0]


def last_part(name: str) -> str:
    """What stands behind the last slash of a name: a slug, a uid or a version; of "" nothing."""
    return name.rpartition("/")[2]
