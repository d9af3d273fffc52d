"""Long lists: what pages of deploys, activities and changed files cost in a short history and in one ten times as long,
on both databases.

Both histories are written past the product. Pages of 100 are read by the functions of the store, in turns: first ones,
and those in the middle; of a project that nearly everything happened in and of one where little did; and by filters
that leave next to nothing. Where the walk of a page is limited, the short history is as long as that.

    python -m bench.histories [--short 100000] [--long 1000000] [--commits 100000] [--times 30] [--sqlite-only]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import Any, Final

from bench.bulk import NOW, SLUG, History, Installation, Times, installations
from bench.machine import load, machine
from store.access import Access
from store.activity.list import ActivityFilter, list_activity
from store.activity.models import Activity
from store.commits.changes import ChangeFilter, list_changed_files
from store.commits.models import CommitFile
from store.database import Database, Engine, new_id
from store.deploys.current import get_current_release
from store.deploys.list import DeployFilter, list_deploys
from store.deploys.models import Deploy, DeployProject, Environment, EnvironmentProject, ReleaseEnvironment
from store.paging import PageRequest, Position
from tests.contract.callers import OPERATOR, member_of_all

SECOND: Final = 1_000_000
PAGE: Final = 100
RARE: Final = 200
"""How many deploys and activities the sparse project has, and the sparse environment."""
FEW: Final = 20
"""How many activities the sparse kind has, and changed files the sparse prefix: a page looks at all that it may."""
RELEASES: Final = 50
ENVIRONMENTS: Final = ("production", "staging", "test", "development", "rare")
SPARSE_PATH: Final = "zebra/"
COMMITTED: Final = "app@9.0.0"
BUSY: Final = "app@1.0.0"

Read = Callable[[], Any]


def write(target: Installation, size: int, commits: int) -> None:
    """So many deploys and activities, and a release with so many commits."""
    history = History(target, files=5, authors=50)
    made = [commit_id for commit_id, _ in history.commits(commits)]
    history.release(COMMITTED, made, project="web")
    releases = [history.release(f"app@1.{number}.0", (), project="web") for number in range(RELEASES)]
    history.write()
    step = commits // FEW
    target.insert(
        CommitFile,
        "commit_id path change_type",
        sorted((commit_id, f"{SPARSE_PATH}stripe.py", 3) for commit_id in made[step // 2 :: step]),
    )
    write_deploys(target, size, releases)
    write_activities(target, size)
    target.settle()


def is_one_of(count: int, number: int, size: int) -> bool:
    """Whether it is one of so many evenly spread ones."""
    return number % (size // count) == 0


def write_deploys(target: Installation, size: int, releases: list[bytes]) -> None:
    """Deploys of all releases in turn, but half of them of the first one."""
    organization_id = target.organization.id
    environments = {name: new_id() for name in ENVIRONMENTS}
    web, docs = target.projects["web"], target.projects["docs"]
    target.insert(
        Environment,
        "id organization_id display_name create_time",
        [(id_, organization_id, name, NOW) for name, id_ in environments.items()],
    )
    target.insert(
        EnvironmentProject,
        "project_id display_name environment_id",
        [(project, name, id_) for name, id_ in environments.items() for project in (web, docs)],
    )
    deploys, places = [], []
    last: dict[tuple[bytes, bytes, bytes], tuple[bytes, int, int]] = {}
    for number in range(size):
        release_id = releases[0 if number % 2 else number // 2 % RELEASES]
        rare = is_one_of(RARE, number, size)
        environment = environments["rare" if is_one_of(RARE, number + 1, size) else ENVIRONMENTS[number % 4]]
        deploy_id, time_us, project = new_id(), NOW + number * SECOND, docs if rare else web
        deploys.append((deploy_id, organization_id, release_id, environment, "", "", time_us, time_us))
        places.append((project, environment, time_us, deploy_id, release_id))
        key = release_id, project, environment
        last[key] = deploy_id, time_us, last.get(key, (b"", 0, 0))[2] + 1
    target.insert(
        Deploy, "id organization_id release_id environment_id display_name url finish_time create_time", deploys
    )
    target.insert(DeployProject, "project_id environment_id finish_time deploy_id release_id", sorted(places))
    target.insert(
        ReleaseEnvironment,
        "release_id project_id environment_id last_deploy_id last_finish_time deploy_count",
        sorted((*key, *newest) for key, newest in last.items()),
    )


def write_activities(target: Installation, size: int) -> None:
    """Activities of the dense project, but few, and those of the sparse kind."""
    rows = []
    for number in range(size):
        project = target.projects["docs" if is_one_of(RARE, number, size) else "web"]
        kind = "release_deleted" if is_one_of(FEW, number + 1, size) else "release_created"
        version = f"app@1.{number % RELEASES}.0"
        data = f'{{"version":"{version}"}}'
        happened = NOW + number * SECOND
        who = OPERATOR.token_id, "", "ci"
        rows.append((new_id(), target.organization.id, project, kind, version, data, *who, happened))
    columns = "id organization_id project_id kind subject data token_id certificate caller happen_time"
    target.insert(Activity, columns, rows)


def reads(target: Installation, database: Database, size: int, commits: int) -> dict[str, Read]:
    """The pages that are read, by name."""
    everybody = member_of_all(target.organization)
    of_docs = replace(everybody, all_projects=False, project_ids=frozenset([target.projects["docs"]]))
    first, middle = PageRequest(PAGE), PageRequest(PAGE, Position((NOW + size // 2 * SECOND, b"\x7f" * 16)))
    back = PageRequest(PAGE, Position((NOW + size // 2 * SECOND, b"\x7f" * 16), backward=True))

    def deploys(version: str | None, page: PageRequest, access: Access = everybody, **sought: Any) -> Read:
        return partial(list_deploys, database, access, SLUG, version, page, sought=DeployFilter(**sought))

    def current(slug: str, environment: str, page: PageRequest) -> Read:
        return partial(get_current_release, database, everybody, SLUG, slug, environment, page)

    def activity(page: PageRequest, access: Access = everybody, **sought: Any) -> Read:
        return partial(list_activity, database, access, SLUG, page, sought=ActivityFilter(**sought))

    def changes(page: PageRequest, prefix: str) -> Read:
        sought = ChangeFilter(path_prefix=prefix)
        return partial(list_changed_files, database, everybody, SLUG, COMMITTED, page, sought=sought)

    docs, rare = frozenset(["docs"]), frozenset(["rare"])
    half = PageRequest(PAGE, Position((commits // 2, "")))
    return {
        "deploys": deploys(None, first),
        "deploys, middle": deploys(None, middle),
        "deploys, middle, backward": deploys(None, back),
        "deploys of a dense project": deploys(None, first, projects=frozenset(["web"])),
        "deploys of a sparse project": deploys(None, first, projects=docs),
        "deploys of a sparse project, middle": deploys(None, middle, projects=docs),
        "deploys that a member of it sees": deploys(None, first, of_docs),
        "deploys of a sparse environment": deploys(None, first, environments=rare),
        "deploys of a sparse environment, middle": deploys(None, middle, environments=rare),
        "deploys, the latest": deploys(None, first, latest_only=True),
        "deploys of one release": deploys(BUSY, first),
        "deploys of one release, middle": deploys(BUSY, middle),
        "deploys of one release, sparse environment": deploys(BUSY, first, environments=rare),
        "deploys of one release, sparse project": deploys(BUSY, first, projects=docs),
        "deploys of one release, the latest": deploys(BUSY, first, latest_only=True),
        "current release": current("web", "production", first),
        "current release, middle": current("web", "production", middle),
        "current release of a sparse project": current("docs", "rare", first),
        "activity": activity(first),
        "activity, middle": activity(middle),
        "activity of a sparse project": activity(first, projects=docs),
        "activity that a member of it sees": activity(first, of_docs),
        "activity of a release": activity(first, version=BUSY),
        "activity of a sparse kind": activity(first, kinds=frozenset(["release_deleted"])),
        "activity of a sparse kind, middle": activity(middle, kinds=frozenset(["release_deleted"])),
        "changed files": changes(first, ""),
        "changed files, middle": changes(half, ""),
        "changed files by a sparse prefix": changes(first, SPARSE_PATH),
        "changed files by a sparse prefix, middle": changes(half, SPARSE_PATH),
    }


def measure(engine: Engine, options: argparse.Namespace) -> None:
    """One kind of database."""
    times = Times()
    sizes = {"short": (options.short, options.commits // 4), "long": (options.long, options.commits)}
    with installations(engine, 2, projects=["web", "docs"], folder=options.folder) as targets, ExitStack() as stack:
        pages: dict[str, dict[str, Read]] = {}
        for target, (name, (size, commits)) in zip(targets, sizes.items(), strict=True):
            write(target, size, commits)
            pages[name] = reads(target, stack.enter_context(target.database()), size, commits)
        print(f"{engine}: written; load {load():.1f}", flush=True)
        for number in range(-2, options.times):  # the first ones compile queries and fill caches
            took = Times() if number < 0 else times
            for what in pages["short"]:
                for name in sizes:
                    took.call(f"{what}, {name}", pages[name][what])
    print(f"{engine}: {options.long:,} deploys and activities beside {options.short:,}; load {load():.1f}")
    times.tell()
    for what in pages["short"]:
        times.tell_growth(f"{what}, long / short, {engine}", f"{what}, long", f"{what}, short", at_most=1.5)


def main() -> None:
    """Run, and print the times and how they grow."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", type=int, default=100_000, help="deploys and activities of the short history")
    parser.add_argument("--long", type=int, default=1_000_000, help="deploys and activities of the long history")
    parser.add_argument("--commits", type=int, default=100_000, help="commits of the long history")
    parser.add_argument("--times", type=int, default=30)
    parser.add_argument("--folder", default=None, help="where the data goes; a temporary folder when not given")
    parser.add_argument("--sqlite-only", action="store_true")
    options = parser.parse_args()
    print(machine())
    measure("sqlite", options)
    if not options.sqlite_only:
        measure("postgresql", options)


if __name__ == "__main__":
    main()
