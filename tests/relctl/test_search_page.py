"""What docs/search.md says of its releases is what the command line finds on a server, on both engines."""

from __future__ import annotations

import re
import shlex
from datetime import UTC, datetime
from pathlib import Path

import pytest
from releaseregistry.v1.commits_pb2 import Commit
from releaseregistry.v1.releases_pb2 import Release as ReleaseMessage
from releaseregistry.v1.releases_pb2 import ReleaseStatus

from relctl import FileDraft, ReleaseDraft, connect
from relctl.cli.release_lists import LOOKED_AT, SORTS
from relctl.client import Client
from relctl.deploys import DeployDraft
from store.database import Transaction
from store.deploys.environments import get_or_create_environments
from store.deploys.models import ReleaseEnvironment
from store.organizations.models import Project
from store.releases.models import Release as Release_
from store.search.find import MOST_WALKED
from tests.relctl.command_line import Relctl
from tests.rpc.wire import OPERATOR_TOKEN, Served
from tests.search.evaluator import Release
from tests.search.page import LISTS, PAGE, QUERIES, REFUSED, lines, rows
from tests.search.strategies import NOW


@pytest.fixture
def page(server: Served, relctl: Relctl, tmp_path: Path) -> Relctl:
    """The command line beside a server that has the releases of the page, at the time that it names."""
    releases = sorted(rows(), key=lambda each: each["created"])
    server.clock.advance(seconds=(releases[0]["created"] - server.clock.now_us()) / 1_000_000)
    server.make_organization("acme", projects=sorted({slug for each in releases for slug in each["projects"]}))
    with connect(server.address, token=OPERATOR_TOKEN) as client:
        for each in releases:
            server.clock.advance(seconds=(each["created"] - server.clock.now_us()) / 1_000_000)
            put(client, each, tmp_path / "file")
        server.clock.advance(seconds=(NOW - server.clock.now_us()) / 1_000_000)
        for each in releases:
            for deploy in each["deploys"]:
                draft = DeployDraft(environments=[deploy["environment"]], finish_time=moment(deploy["finished"]))
                client.deploys.create("acme", each["version"], draft)
            stay(server, each)
            if each["status"] == "archived":
                archived = ReleaseMessage(status=ReleaseStatus.RELEASE_STATUS_ARCHIVED)
                client.releases.update("acme", each["version"], archived, paths=["status"])
    return relctl.at(server)


def put(client: Client, release: Release, file: Path) -> None:
    draft = ReleaseDraft(
        version=release["version"],
        projects=release["projects"],
        ref=release["ref"],
        owner=release["owner"],
        labels=release["labels"],
        release_time=None if release["released"] is None else moment(release["released"]),
    )
    commits = [
        Commit(
            id=each["id"],
            repository=each["repository"],
            author_name=each["name"] or "",
            author_email=each["email"] or "",
            message="".join(f"Fixes {reference}\n" for reference in each["fixes"]),
        )
        for each in release["commits"]
    ]
    client.releases.create("acme", draft, commits=commits)
    file.touch()
    for each in release["files"]:
        client.files.upload("acme", release["version"], file, FileDraft(file_name=each["name"]))


def stay(server: Served, release: Release) -> None:
    """Has it had sessions where the page says, and been adopted."""

    def write(tx: Transaction) -> None:
        (found,) = tx.fetch(Release_.select().where(Release_.version == release["version"]))
        projects = dict(tx.fetch(Project.select(Project.slug, Project.id).tuples()))
        for each in release["stays"]:
            ids = get_or_create_environments(
                tx, found.organization_id, [each["environment"]], project_ids=[projects[each["project"]]]
            )
            place = {
                "release_id": found.id,
                "project_id": projects[each["project"]],
                "environment_id": ids[each["environment"]],
            }
            times = {"adopted_time": each["adopted"], "unadopted_time": each["unadopted"]}
            same = [getattr(ReleaseEnvironment, name) == value for name, value in place.items()]
            if not tx.execute(ReleaseEnvironment.update(times).where(*same)):
                tx.execute(ReleaseEnvironment.insert({**place, **times, "deploy_count": 0}))

    server.database.write(write)


def moment(micros: int) -> datetime:
    return datetime.fromtimestamp(micros / 1_000_000, UTC)


def found(page: Relctl, *flags: str) -> list[str]:
    return page.ok("release", "list", "--versions", *flags).out.splitlines()


def test_each_query_finds_what_the_page_says_and_each_list_is_sorted_so(page: Relctl) -> None:
    wrong = [
        (query, releases, told)
        for query, releases in QUERIES
        if sorted(told := found(page, "--status", "all", "--query", query)) != sorted(releases)
    ]
    assert wrong == []
    assert len(LISTS) > 15
    wrong = [
        (flags, releases, told) for flags, releases in LISTS if (told := found(page, *shlex.split(flags))) != releases
    ]
    assert wrong == []


def test_each_command_of_the_page_runs(page: Relctl) -> None:
    commands = [shlex.split(line) for line in lines("sh")]
    assert len(commands) >= 6
    for program, *words in commands:
        assert program == "relctl"
        page.ok(*words, *(["--yes"] if "bulk" in words and "--dry-run" not in words else []))
    assert found(page, "--query", "label.team:payments") == ["web@2.0.0-rc.1", "web@1.1.0+45"]


def test_each_query_that_is_refused_is_shown_with_a_caret_where_the_page_says(page: Relctl) -> None:
    for query, position, _ in REFUSED:
        ran = page("release", "list", "--query", query)
        assert (ran.code, ran.out) == (1, "")
        line, shown, caret = ran.err.splitlines()
        assert line.startswith("relctl: QUERY_INVALID: ")
        assert shown == f"  {query}"
        assert caret == f"{' ' * (int(position) + 1)}^"


def test_the_page_tells_every_order_and_how_far_a_page_looks() -> None:
    cells = re.findall(r"^\| (`.+?) \|", PAGE.split("### Order")[1].split("\n### ")[0], re.MULTILINE)
    assert [word for cell in cells[1:] for word in re.findall("`(.+?)`", cell)] == list(SORTS)
    assert LOOKED_AT == MOST_WALKED
    assert f"looks at {MOST_WALKED:,} releases at most" in PAGE
