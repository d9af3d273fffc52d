"""`relctl release list` and `relctl release suggest`: finding releases."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import click
from releaseregistry.v1.releases_pb2 import HealthOptions, ListReleasesResponse, Release, ReleaseSort, SortDirection

from relctl.cli.application import Application, note, print_json
from relctl.cli.bars import waiting
from relctl.cli.health_columns import health_columns
from relctl.cli.health_options import check_summary_period, health_options
from relctl.cli.options import Leaf, limit_option, pass_application
from relctl.cli.release_columns import BRIEF_COLUMNS, BRIEF_FLAT_COLUMNS, FLAT_COLUMNS, LIST_COLUMNS
from relctl.cli.release_filters import (
    LANGUAGE,
    all_projects_option,
    filter_options,
    project_option,
    projects_of,
)
from relctl.cli.text import counted
from relctl.connection import PAGE_SIZE
from relctl.release_filters import ReleaseFilter, ReleaseOrder

SORTS: Final = {
    "date": ReleaseSort.RELEASE_SORT_DATE,
    "released": ReleaseSort.RELEASE_SORT_RELEASED,
    "version": ReleaseSort.RELEASE_SORT_VERSION,
    "build": ReleaseSort.RELEASE_SORT_BUILD,
    "name": ReleaseSort.RELEASE_SORT_NAME,
    "commits": ReleaseSort.RELEASE_SORT_COMMITS,
    "deploys": ReleaseSort.RELEASE_SORT_DEPLOYS,
    "sessions": ReleaseSort.RELEASE_SORT_SESSIONS,
    "users": ReleaseSort.RELEASE_SORT_USERS,
    "sessions-24h": ReleaseSort.RELEASE_SORT_SESSIONS_24H,
    "users-24h": ReleaseSort.RELEASE_SORT_USERS_24H,
    "crash-free-sessions": ReleaseSort.RELEASE_SORT_CRASH_FREE_SESSIONS,
    "crash-free-users": ReleaseSort.RELEASE_SORT_CRASH_FREE_USERS,
    "adoption": ReleaseSort.RELEASE_SORT_ADOPTION,
}
SORTS_BY_SESSIONS: Final = frozenset(
    {"sessions", "users", "sessions-24h", "users-24h", "crash-free-sessions", "crash-free-users"}
)
DIRECTIONS: Final = {
    None: SortDirection.SORT_DIRECTION_UNSPECIFIED,
    True: SortDirection.SORT_DIRECTION_ASCENDING,
    False: SortDirection.SORT_DIRECTION_DESCENDING,
}
LOOKED_AT: Final = 10_000
"""In how many releases the server seeks for a page before it ends it unfilled."""

AskPage = Callable[[int, str], ListReleasesResponse]


@click.command("list", cls=Leaf, epilog=LANGUAGE)
@filter_options()
@click.option(
    "--sort",
    type=click.Choice(list(SORTS)),
    default="date",
    show_default=True,
    help="What to sort by. Sessions and users need --flatten, adoption a single --environment.",
)
@click.option(
    "--ascending/--descending",
    default=None,
    help="Which way. [default: descending, but ascending by name, and by crash-free shares: the least stable first]",
)
@click.option("--flatten", is_flag=True, help="A row for each release and project.")
@health_options
@click.option("--page-size", type=click.IntRange(1, 1000), metavar="N", help="How many on a page. [default: 100]")
@click.option("--page-token", default="", metavar="TOKEN", help="The page that an earlier one told this token for.")
@click.option("--all", "everything", is_flag=True, help="All pages, not only the first.")
@limit_option
@click.option("--count", is_flag=True, help="Only say how many there are.")
@click.option("--versions", is_flag=True, help="Print only the versions, one a line.")
@pass_application
def list_releases(
    application: Application,
    only: ReleaseFilter,
    sort: str,
    ascending: bool | None,
    flatten: bool,
    health_options: HealthOptions | None,
    page_size: int | None,
    page_token: str,
    everything: bool,
    limit: int | None,
    count: bool,
    versions: bool,
) -> None:
    r"""List or search releases, newest first: a page of them, or --all.

    \b
    Examples:
      relctl release list --project web --limit 20
      relctl release list --query 'release.version:>=1.2 !has:deployed' --sort version
      relctl release list --query 'author:ann@example.com OR label.team:pay*' --all
      relctl release list --status archived --created 14d --count
      relctl release list --flatten --health --sort crash-free-sessions --environment production
    """
    _check_sort(sort, flatten=flatten, environments=only.environments)
    check_summary_period(health_options, sorted_by_it=sort in SORTS_BY_SESSIONS)
    if everything and limit is not None:
        raise click.UsageError("--all and --limit exclude each other")
    if count and (everything or versions or page_token or limit is not None or page_size is not None):
        raise click.UsageError("--count says how many there are and shows none: leave out what is about showing them")
    if versions and application.json:
        raise click.UsageError("--versions and --json exclude each other")
    if count:
        _count(application, only, flatten=flatten)
        return
    organization, order = application.organization, ReleaseOrder(sort=SORTS[sort], direction=DIRECTIONS[ascending])

    def ask_page(size: int, token: str) -> ListReleasesResponse:
        return application.client.releases.list_page(
            organization,
            only,
            order=order,
            flatten=flatten,
            health_options=health_options,
            page_size=size,
            page_token=token,
        )

    def show(found: Iterator[Release], *, nothing: str = "no releases") -> None:
        if versions:
            application.show_lines((release.version for release in found), nothing=nothing)
        else:
            brief, whole = (BRIEF_FLAT_COLUMNS, FLAT_COLUMNS) if flatten else (BRIEF_COLUMNS, LIST_COLUMNS)
            columns = brief if health_options is not None and health_options.health else whole
            application.show_list(found, [*columns, *health_columns(health_options)], nothing=nothing)

    if everything or limit is not None:
        size = page_size or min(limit or PAGE_SIZE, PAGE_SIZE)
        show(_walk(lambda token: ask_page(size, token), page_token, limit=limit))
        return
    with waiting("looking"):
        page = ask_page(page_size or 0, page_token)
    show(iter(page.releases), nothing="no releases so far" if page.next_page_token else "no releases")
    _tell_more(page)


def _check_sort(sort: str, *, flatten: bool, environments: Sequence[str]) -> None:
    if sort in SORTS_BY_SESSIONS and not flatten:
        raise click.UsageError(f"--sort {sort} is about a release in a project: say --flatten, too")
    if sort == "adoption" and len(environments) != 1:
        raise click.UsageError("--sort adoption is about one environment: say --environment, once")


def _walk(ask_page: Callable[[str], ListReleasesResponse], token: str, *, limit: int | None) -> Iterator[Release]:
    """The items of all pages from the token's on, also behind pages that came back empty."""
    found = stops = 0
    while True:
        looked = f", and {stops * LOOKED_AT:,} releases looked at" if stops else ""
        with waiting(f"{found:,} found{looked}"):
            page = ask_page(token)
        for release in page.releases:
            found += 1
            yield release
            if found == limit:
                return
        token, stops = page.next_page_token, stops + page.incomplete
        if not token:
            return


def _tell_more(page: ListReleasesResponse) -> None:
    """Say beside the output, of which a script may only have the page, that there is more."""
    if page.incomplete:
        note(
            f"this is what was found in {LOOKED_AT:,} releases: --all looks on, or --page-token {page.next_page_token}"
        )
    elif page.next_page_token:
        note(f"there are more: --all shows them, and the next page --page-token {page.next_page_token}")
    if page.previous_page_token:
        note(f"the page before is that of --page-token {page.previous_page_token}")


def _count(application: Application, only: ReleaseFilter, *, flatten: bool) -> None:
    total = application.client.releases.count(application.organization, only, flatten=flatten)
    if application.json:
        application.show_values({"total_count": total.count, "total_count_is_least": total.is_least})
        return
    what = "row" if flatten else "release"
    application.say(f"{counted(total.count, what)}{' or more' if total.is_least else ''}")


@click.command(cls=Leaf)
@click.argument("query_key", metavar="KEY")
@click.argument("prefix", default="")
@project_option
@all_projects_option
@click.option("--limit", type=click.IntRange(1, 100), metavar="N", help="At most so many. [default: 20]")
@pass_application
def suggest(
    application: Application,
    query_key: str,
    prefix: str,
    projects: tuple[str, ...],
    all_projects: bool,
    limit: int | None,
) -> None:
    r"""Tell which values there are for a key of a query, one a line: those that begin with PREFIX.

    Keys are release, release.package, release.build, environment, author, label (which labels there are) and label.NAME
    (which values that label has).

    \b
    Examples:
      relctl release suggest release app@1.
      relctl release suggest label.team
    """
    answer = application.client.releases.suggest(
        application.organization,
        query_key,
        prefix,
        projects=projects_of(projects, all_projects=all_projects),
        limit=limit or 0,
    )
    if application.json:
        print_json(answer)
        return
    application.show_lines(answer.values, nothing="no such values")
    if answer.incomplete:
        note("there may be more: give more of the value, or a larger --limit")
