"""`relctl release`: releases."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

import click
from releaseregistry.v1.releases_pb2 import CreateReleaseOutcome, HealthOptions, Release, ReleaseStatus

from relctl.cli.application import Application, note, print_json
from relctl.cli.health_columns import health_columns
from relctl.cli.health_options import check_summary_period, health_options
from relctl.cli.labels import label_option, remove_label_option
from relctl.cli.options import Folder, ask, pass_application, yes_option
from relctl.cli.release_bulk import bulk
from relctl.cli.release_columns import COLUMNS, PROJECT_COLUMNS, STATUSES, of_release
from relctl.cli.release_filters import (
    LANGUAGE,
    environment_option,
    query_option,
    remember_query,
    status_option,
    statuses_of,
)
from relctl.cli.release_lists import LOOKED_AT, list_releases, suggest
from relctl.cli.set_commits import set_commits
from relctl.cli.set_refs import set_refs
from relctl.cli.text import MOMENT
from relctl.errors import RegistryError
from relctl.releases import ReleaseDraft

OUTCOMES: Final = {
    CreateReleaseOutcome.CREATE_RELEASE_OUTCOME_CREATED: "created",
    CreateReleaseOutcome.CREATE_RELEASE_OUTCOME_EXTENDED: "was there; projects were attached",
    CreateReleaseOutcome.CREATE_RELEASE_OUTCOME_UNCHANGED: "was there",
}
UPDATE_ATTEMPTS: Final = 5
CHECKED_OUTCOMES: Final = {
    CreateReleaseOutcome.CREATE_RELEASE_OUTCOME_CREATED: "would be created",
    CreateReleaseOutcome.CREATE_RELEASE_OUTCOME_EXTENDED: "is there; projects would be attached",
    CreateReleaseOutcome.CREATE_RELEASE_OUTCOME_UNCHANGED: "is there",
}


@click.group(cls=Folder)
def release() -> None:
    """Releases: one version of one or more projects."""


release.add_command(set_commits)
release.add_command(set_refs)
release.add_command(list_releases)
release.add_command(suggest)
release.add_command(bulk)


@release.command()
@click.argument("version")
@click.option("--project", "projects", multiple=True, metavar="SLUG", help="A project it is of; repeat for more.")
@click.option("--ref", default="", help="A branch, a tag, or any text.")
@click.option("--url", default="", help="Where to read about it.")
@click.option("--owner", default="", help="Who answers for it.")
@click.option("--status", type=click.Choice(list(STATUSES)), help="Open or archived; re-opens one that exists.")
@label_option
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
    labels: tuple[tuple[str, str], ...],
    release_time: datetime | None,
    finalize: bool,
    validate_only: bool,
) -> None:
    r"""Create a release, or attach projects to it when it exists.

    An existing release keeps its ref, url, owner, labels and release time: `release update` changes them.

    \b
    Examples:
      relctl release create app@1.0.0 --project web --ref v1.0.0
      relctl release create app@1.0.0 --project web --project api --label team=payments --finalize
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
        labels=dict(labels),
    )
    answer = application.client.releases.create(application.organization, draft, validate_only=validate_only)
    if application.json:
        print_json(answer)
        return
    outcome = (CHECKED_OUTCOMES if validate_only else OUTCOMES).get(answer.outcome, "answered")
    checked = " (only checked, nothing was changed)" if validate_only else ""
    application.say(f"release {answer.release.version} {outcome}{checked}")
    application.show(answer.release, COLUMNS)


@release.command(epilog=LANGUAGE)
@click.argument("version")
@click.option("--project", metavar="SLUG", help="Also how it stands in this project, and which releases are beside it.")
@environment_option
@status_option()
@query_option("Beside it are only releases that this finds.")
@health_options
@pass_application
def get(
    application: Application,
    version: str,
    project: str | None,
    environments: tuple[str, ...],
    status: str | None,
    query: str,
    health_options: HealthOptions | None,
) -> None:
    r"""Show a release, its last commit and its heads; with a project, also the next, previous, first and last release.

    --environment, --status and --query say among which releases the next and the previous one are sought; the first and
    the last one mind only --environment. What --health and --stages add is of these environments, too; `relctl health`
    shows more.

    \b
    Examples:
      relctl release get app@1.0.0
      relctl release get app@1.0.0 --project web --env production --query 'release.version:*'
      relctl release get app@1.0.0 --health --stages
    """
    check_summary_period(health_options)
    releases = application.client.releases
    more = health_columns(health_options)
    if project is None:
        if status or query or (environments and health_options is None):
            raise click.UsageError("--environment, --status and --query are about a project's releases: say --project")
        found = releases.get(
            application.organization, version, environments=environments, health_options=health_options
        )
        application.show(found, [*COLUMNS, *more])
        return
    answer = releases.get_in_project(
        application.organization,
        version,
        project,
        query=remember_query(query),
        environments=environments,
        statuses=statuses_of(status),
        health_options=health_options,
    )
    application.show(answer, [*PROJECT_COLUMNS, *((title, of_release(value)) for title, value in more)])
    if answer.project_view.incomplete:
        note(f"the next or the previous one may be further away than the {LOOKED_AT:,} releases looked at")


@release.command()
@click.argument("version")
@click.option("--ref", help='A branch, a tag, or any text; "" clears it.')
@click.option("--url", help='Where to read about it; "" clears it.')
@click.option("--owner", help='Who answers for it; "" clears it.')
@label_option
@remove_label_option
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
    labels: tuple[tuple[str, str], ...],
    removed_labels: tuple[str, ...],
) -> None:
    r"""Change what is said; the rest stays, other labels too.

    \b
    Examples:
      relctl release update app@1.0.0 --owner ops@acme.example --ref ""
      relctl release update app@1.0.0 --label team=payments --remove-label beta
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
    if not paths and not labels and not removed_labels:
        raise click.UsageError("say what to change")
    if labels or removed_labels:
        updated = _update_with_labels(application, version, changes, paths, dict(labels), removed_labels)
    else:
        updated = _update(application, version, changes, paths)
    application.show(updated, COLUMNS)


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
@click.option("--force", is_flag=True, help="Even if it had sessions in the last 90 days.")
@pass_application
def delete(application: Application, version: str, yes: bool, etag: str, force: bool) -> None:
    r"""Delete a release with its files and all else of it.

    One that had sessions in the last 90 days is refused with RELEASE_HAS_HEALTH, unless --force is said: sessions that
    come later would make it anew.

    \b
    Example:
      relctl release delete app@1.0.0 --yes
    """
    if not yes:  # the organization is looked up only where the question needs it
        question = f"Delete release {version} of {application.organization} with its files?"
        ask(question, yes=yes, declined=f"release {version} was not deleted")
    application.client.releases.delete(application.organization, version, etag=etag, force=force)
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


def _update_with_labels(
    application: Application,
    version: str,
    changes: Release,
    paths: list[str],
    labels: Mapping[str, str],
    removed: tuple[str, ...],
) -> Release:
    """An update replaces all labels. So those that are there are read first, and the etag sees to it that nobody
    changes them meanwhile; where somebody did and the caller named no etag, it is tried again."""
    etag, attempt = changes.etag, 0
    while True:
        attempt += 1
        now = application.client.releases.get(application.organization, version)
        changes.labels.clear()
        changes.labels.update({key: value for key, value in now.labels.items() if key not in removed} | dict(labels))
        changes.etag = etag or now.etag
        try:
            return _update(application, version, changes, [*paths, "labels"])
        except RegistryError as error:
            if error.reason != "ETAG_MISMATCH" or etag or attempt == UPDATE_ATTEMPTS:
                raise
