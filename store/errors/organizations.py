"""Errors of organizations, their projects, repositories and pictures.

What is missing and what is not the caller's answer the same, to the byte. See behaviour.md, Access.
"""

from __future__ import annotations

from store.errors.kinds import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound


class OrganizationNotFound(NotFound):
    """No such organization, or not yours."""

    def __init__(self, slug: str) -> None:
        name = f"organizations/{slug}"
        super().__init__(f"{name} does not exist, or you may not see it.", metadata={"name": name})


class ProjectNotFound(NotFound):
    """No such project, or not yours."""

    def __init__(self, organization: str, slug: str) -> None:
        name = f"organizations/{organization}/projects/{slug}"
        super().__init__(f"{name} does not exist, or you may not see it.", metadata={"name": name})


class RepositoryNotFound(NotFound):
    """No such repository, or not yours."""

    def __init__(self, organization: str, uid: str) -> None:
        name = f"organizations/{organization}/repositories/{uid}"
        super().__init__(f"{name} does not exist, or you may not see it.", metadata={"name": name})


class OrganizationExists(AlreadyExists):
    """Another organization has this slug, or once had it."""

    def __init__(self, slug: str) -> None:
        super().__init__(
            f"Another organization has the slug {slug}, or once had it; choose another.", metadata={"slug": slug}
        )


class ProjectExists(AlreadyExists):
    """Another project of the organization has this slug, or once had it."""

    def __init__(self, slug: str) -> None:
        super().__init__(
            f"Another project of the organization has the slug {slug}, or once had it; choose another.",
            metadata={"slug": slug},
        )


class RepositoryExists(AlreadyExists):
    """An active repository has this display name, or the external id is taken."""

    def __init__(self, display_name: str, external_id: str | None = None) -> None:
        if external_id is None:
            text = f"Another active repository is named {display_name}; use that one, or disable it first."
            metadata = {"display_name": display_name}
        else:
            text = f"Another repository has the external id {external_id} with this provider; use that one."
            metadata = {"display_name": display_name, "external_id": external_id}
        super().__init__(text, metadata=metadata)


class HasChildren(FailedPrecondition):
    """Projects or releases belong to what is to be deleted, and force was not set; the metadata counts them."""

    def __init__(self, name: str, **counts: str) -> None:
        children = " and ".join(f"{count} {what[:-1] if count == '1' else what}" for what, count in counts.items())
        super().__init__(f"{name} has {children}; set force to delete it with them.", metadata=counts)


class AvatarNotFound(NotFound):
    """The organization has no uploaded picture."""

    def __init__(self, slug: str) -> None:
        name = f"organizations/{slug}"
        super().__init__(f"{name} has no uploaded picture.", metadata={"name": name})


class AvatarInvalid(InvalidArgument):
    """The bytes are no picture that is taken; `problem` goes on where "The picture ..." began."""

    def __init__(self, problem: str) -> None:
        super().__init__(
            f"The picture {problem}. Send a square PNG, JPEG, GIF or WEBP of 256 to 1,024 pixels a side.",
            metadata={"problem": problem},
        )
