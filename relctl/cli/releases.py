"""`relctl release`: releases."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import click
from releaseregistry.v1.releases_pb2 import CreateReleaseOutcome, Release, ReleaseStatus

from relctl.cli.application import Application, Columns, print_json
from relctl.cli.options import Folder, ask, limit_option, pass_application, yes_option
from relctl.cli.set_commits import set_commits
from relctl.cli.set_refs import set_refs
from relctl.cli.text import MOMENT, head_text, local_time, subject
from relctl.names import last_part
from relctl.releases import ReleaseDraft

STATUSES: Final = {
    "open": ReleaseStatus.RELEASE_STATUS_OPEN,
    "archived": ReleaseStatus.RELEASE_STATUS_ARCHIVED,
}
OUTCOMES: Final = {
    CreateReleaseOutcome.CREATE_RELEASE_OUTCOME_CREATED: "created",
    CreateReleaseOutcome.CREATE_RELEASE_OUTCOME_EXTENDED: "was there; projects were attached",
    CreateReleaseOutcome.CREATE_RELEASE_OUTCOME_UNCHANGED: "was there",
}
CHECKED_OUTCOMES: Final = {
    CreateReleaseOutcome.CREATE_RELEASE_OUTCOME_CREATED: "would be created",
    CreateReleaseOutcome.CREATE_RELEASE_OUTCOME_EXTENDED: "is there; projects would be attached",
    CreateReleaseOutcome.CREATE_RELEASE_OUTCOME_UNCHANGED: "is there",
}


def _status(release: Release) -> str:
    return next((word for word, status in STATUSES.items() if status == release.status), "")


def _projects(release: Release) -> str:
    return ", ".join(last_part(name) for name in release.projects)


def _last_deploy(release: Release) -> str:
    if not release.HasField("last_deploy"):
        return ""
    return f"{release.last_deploy.environment}, {local_time(release.last_deploy.finish_time)}"


LIST_COLUMNS: Final[Columns[Release]] = (
    ("version", lambda it: it.version),
    ("projects", _projects),
    ("status", _status),
    ("released", lambda it: local_time(it.release_time, is_set=it.HasField("release_time"))),
    ("created", lambda it: local_time(it.create_time)),
    ("commits", lambda it: it.commit_count),
    ("files", lambda it: it.file_count),
)
COLUMNS: Final[Columns[Release]] = (
    *LIST_COLUMNS[:3],
    ("ref", lambda it: it.ref),
    ("url", lambda it: it.url),
    ("owner", lambda it: it.owner),
    *LIST_COLUMNS[3:],
    ("authors", lambda it: it.author_count),
    ("last commit", lambda it: f"{it.last_commit.id[:12]} {subject(it.last_commit.message)}"),
    ("heads", lambda it: ", ".join(map(head_text, it.head_commits))),
    ("references", lambda it: ", ".join(it.references)),
    ("deploys", lambda it: it.deploy_count),
    ("last deploy", _last_deploy),
    ("etag", lambda it: it.etag),
)


@click.group(cls=Folder)
def release() -> None:
    """Releases: one version of one or more projects."""


release.add_command(set_commits)
release.add_command(set_refs)


@release.command()
@click.argument("version")
@click.option("--project", "projects", multiple=True, metavar="SLUG", help="A project it is of; repeat for more.")
@click.option("--ref", default="", help="A branch, a tag, or any text.")
@click.option("--url", default="", help="Where to read about it.")
@click.option("--owner", default="", help="Who answers for it.")
@click.option("--status", type=click.Choice(list(STATUSES)), help="Open or archived; re-opens one that exists.")
@click.option("--release-time", type=MOMENT, help="When it was released: RFC 3339, or now.")
@click.option("--finalize", is_flag=True, help="It is released now; as --release-time now.")
@click.option("--validate-only", is_flag=True, help="Check everything, change nothing.")
@pass_application
def create(
    application: Application,
    version: str,
    projects: tuple[str, ...],
    ref: str,
    url: str,
    owner: str,
    status: str | None,
    release_time: datetime | None,
    finalize: bool,
    validate_only: bool,
) -> None:
    r"""Create a release, or attach projects to it when it exists.

    An existing release keeps its ref, url, owner and release time: `release update` changes them.

    \b
    Examples:
      relctl release create app@1.0.0 --project web --ref v1.0.0
      relctl release create app@1.0.0 --project web --project api --finalize
    """
    if finalize and release_time is not None:
        raise click.UsageError("--finalize and --release-time say the same: choose one")
    draft = ReleaseDraft(
        version=version,
        projects=projects,
        status=STATUSES[status] if status else ReleaseStatus.RELEASE_STATUS_UNSPECIFIED,
        ref=ref,
        url=url,
        owner=owner,
        release_time=datetime.now(UTC) if finalize else release_time,
    )
    answer = application.client.releases.create(application.organization, draft, validate_only=validate_only)
    if application.json:
        print_json(answer)
        return
    outcome = (CHECKED_OUTCOMES if validate_only else OUTCOMES).get(answer.outcome, "answered")
    checked = " (only checked, nothing was changed)" if validate_only else ""
    application.say(f"release {answer.release.version} {outcome}{checked}")
    application.show(answer.release, COLUMNS)


@release.command()
@click.argument("version")
@pass_application
def get(application: Application, version: str) -> None:
    """Show a release, its last commit and its heads."""
    application.show(application.client.releases.get(application.organization, version), COLUMNS)


@release.command("list")
@click.option("--project", "projects", multiple=True, metavar="SLUG", help="Only of this project; repeat for more.")
@click.option("--all-projects", is_flag=True, help="Of every project that may be accessed, not only of the token's.")
@click.option(
    "--status", type=click.Choice([*STATUSES, "all"]), default="open", show_default=True, help="Only with this status."
)
@limit_option
@pass_application
def list_(
    application: Application, projects: tuple[str, ...], all_projects: bool, status: str, limit: int | None
) -> None:
    r"""List releases, newest first.

    \b
    Examples:
      relctl release list --project web --limit 20
      relctl release list --status archived --json | jq -r .version
    """
    if projects and all_projects:
        raise click.UsageError("--project and --all-projects exclude each other")
    releases = application.client.releases.list(
        application.organization,
        projects=["-"] if all_projects else projects,
        statuses=list(STATUSES.values()) if status == "all" else [STATUSES[status]],
        limit=limit,
    )
    application.show_list(releases, LIST_COLUMNS, nothing="no releases")


@release.command()
@click.argument("version")
@click.option("--ref", help='A branch, a tag, or any text; "" clears it.')
@click.option("--url", help='Where to read about it; "" clears it.')
@click.option("--owner", help='Who answers for it; "" clears it.')
@click.option("--release-time", type=MOMENT, help="When it was released: RFC 3339, or now.")
@click.option("--not-released", is_flag=True, help="Take the release time back.")
@click.option("--etag", default="", help="Change it only if it still has this etag.")
@pass_application
def update(
    application: Application,
    version: str,
    release_time: datetime | None,
    not_released: bool,
    etag: str,
    ref: str | None,
    url: str | None,
    owner: str | None,
) -> None:
    r"""Change what is said; the rest stays.

    \b
    Example:
      relctl release update app@1.0.0 --owner ops@acme.example --ref ""
    """
    if not_released and release_time is not None:
        raise click.UsageError("--release-time and --not-released exclude each other")
    said = {"ref": ref, "url": url, "owner": owner}
    paths = [path for path, value in said.items() if value is not None]
    changes = Release(ref=ref, url=url, owner=owner, etag=etag)
    if release_time is not None:
        changes.release_time.FromDatetime(release_time)
    if release_time is not None or not_released:
        paths.append("release_time")
    if not paths:
        raise click.UsageError("say what to change")
    application.show(_update(application, version, changes, paths), COLUMNS)


@release.command()
@click.argument("version")
@click.option("--release-time", type=MOMENT, help="When it was released: RFC 3339. [default: now]")
@pass_application
def finalize(application: Application, version: str, release_time: datetime | None) -> None:
    """Say that a release is out."""
    changes = Release()
    changes.release_time.FromDatetime(release_time or datetime.now(UTC))
    updated = _update(application, version, changes, ["release_time"])
    application.say(f"release {updated.version} finalized")
    application.show(updated, COLUMNS)


@release.command()
@click.argument("version")
@pass_application
def archive(application: Application, version: str) -> None:
    """Put a release away: lists leave it out unless asked."""
    _set_status(application, version, "archived")


@release.command()
@click.argument("version")
@pass_application
def restore(application: Application, version: str) -> None:
    """Open an archived release again."""
    _set_status(application, version, "open")


@release.command()
@click.argument("version")
@yes_option
@click.option("--etag", default="", help="Delete it only if it still has this etag.")
@pass_application
def delete(application: Application, version: str, yes: bool, etag: str) -> None:
    r"""Delete a release with its files and all else of it.

    \b
    Example:
      relctl release delete app@1.0.0 --yes
    """
    if not yes:  # the organization is looked up only where the question needs it
        question = f"Delete release {version} of {application.organization} with its files?"
        ask(question, yes=yes, declined=f"release {version} was not deleted")
    application.client.releases.delete(application.organization, version, etag=etag)
    application.say(f"release {version} deleted")


@release.command()
@click.argument("version")
@click.option("--env", "environment", metavar="NAME", help="The one that ran in this environment before it.")
@pass_application
def previous(application: Application, version: str, environment: str | None) -> None:
    r"""Show the release with commits before this one, or the one that ran in an environment before it, if any.

    Of a release that was never deployed to the environment it is the one that runs there now: what would be replaced.

    \b
    Examples:
      relctl release previous app@1.1.0
      relctl release previous app@1.1.0 --env production
    """
    found = application.client.releases.previous(application.organization, version, environment=environment)
    if found is not None:
        application.show(found, COLUMNS)
    elif environment is None:
        application.say(f"there is no release with commits before {version}")
    else:
        application.say(f"no other release ran in {environment} before {version}")


def _set_status(application: Application, version: str, status: str) -> None:
    updated = _update(application, version, Release(status=STATUSES[status]), ["status"])
    application.say(f"release {updated.version} is {status}")
    application.show(updated, COLUMNS)


def _update(application: Application, version: str, changes: Release, paths: list[str]) -> Release:
    return application.client.releases.update(application.organization, version, changes, paths=paths)
