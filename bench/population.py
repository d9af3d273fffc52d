"""Releases as a large installation has them: 50 projects from dense to sparse, versions of every kind, and what they
are found by. The same for each size but for how much there is of it: what is rare is as rare in each.

Made block by block, oldest first, from a seed; only ids are new each time.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import accumulate
from typing import Any, Final, NamedTuple

from bench.bulk import MINUTE, Row
from store.commits.models import (
    Commit,
    CommitAuthor,
    CommitReference,
    ReleaseAuthor,
    ReleaseCommit,
    ReleaseHead,
    ReleaseReference,
)
from store.database import id_at, new_id
from store.deploys.models import Deploy, DeployProject, Environment, EnvironmentProject, ReleaseEnvironment
from store.organizations.models import Repository
from store.releases.models import Release, ReleaseLabel, ReleaseProject
from store.releases.version import parse_version
from store.text import folded, folded_key

EDITION: Final = 1
"""Another one when other rows are made: data that was kept is then made anew."""

FIRST_US: Final = 1_730_419_200_000_000
SPAN_US: Final = 2 * 365 * 24 * 60 * MINUTE
"""When the first release was created (2024-11-01), and how long it went on."""

PROJECTS: Final = [f"project-{number:02}" for number in range(50)]
DENSE, SPARSE, RARE = PROJECTS[0], PROJECTS[30], PROJECTS[49]
"""Four releases of ten are of the first, one of a hundred of the second; the last four projects have 20 each."""
_WEIGHTED: Final = 46

ENVIRONMENTS: Final = {"production": 45, "staging": 40, "qa": 13, "canary": 2}
TEAMS: Final = 20
"""Values of the label `team`, which four releases of ten have; `train` has a value for each twenty releases."""
BUSY_AUTHORS: Final = 20
"""They wrote half of the commits; each other author some fifteen."""

_BLOCK: Final = 20_000
_OPEN, _ARCHIVED = 1, 2

Rows = dict[Any, list[Row]]


def busy_author(number: int) -> str:
    """The e-mail of an author who wrote many commits."""
    return f"busy-{number:02}@example.com"


def other_author(number: int) -> str:
    """The e-mail of an author who wrote few."""
    return f"author-{number:06}@example.com"


def team(number: int) -> str:
    """A value of the label `team`."""
    return f"team-{number:02}"


def train(number: int) -> str:
    """A value of the label `train`."""
    return f"{number:06}"


def other_authors(size: int) -> int:
    """How many of them there are."""
    return max(size // 40, 1)


class _Draft(NamedTuple):
    """A release in the making."""

    id: bytes
    version: str
    status: int
    time_us: int
    sort_us: int
    project_ids: Sequence[bytes]


class Population:
    """So many releases of an organization that has `PROJECTS`."""

    def __init__(self, organization_id: bytes, projects: Mapping[str, bytes], size: int) -> None:
        self._organization_id: Final = organization_id
        self._project_ids: Final = [projects[slug] for slug in PROJECTS]
        self._size: Final = size
        self._random: Final = random.Random(1)
        self._weights: Final = list(accumulate(1 / (number + 1) ** 1.1 for number in range(_WEIGHTED)))
        self._semantic: Final = [0] * len(PROJECTS)
        self._repository_ids: Final = [new_id() for _ in range(5)]
        emails = [busy_author(number) for number in range(BUSY_AUTHORS)]
        emails += [other_author(number) for number in range(other_authors(size))]
        self._authors: Final = [(email, new_id()) for email in emails]
        self._environment_ids: Final = {name: new_id() for name in ENVIRONMENTS}
        self._commits = 0
        self._rows: Rows = {model: [] for model in COLUMNS}

    def blocks(self) -> Iterator[Rows]:
        """Rows by model, sorted by their keys within a block."""
        self._make_surroundings()
        for number in range(self._size):
            self._make_release(number)
            if number % _BLOCK == _BLOCK - 1:
                yield self._block()
        yield self._block()

    def _block(self) -> Rows:
        rows, self._rows = self._rows, {model: [] for model in COLUMNS}
        for some in rows.values():
            some.sort(key=lambda row: row[:2])
        return rows

    def _make_surroundings(self) -> None:
        organization_id = self._organization_id
        for number, repository_id in enumerate(self._repository_ids):
            name = f"acme/repository-{number}"
            self._rows[Repository].append((repository_id, organization_id, name, name, "", "", 1, FIRST_US, FIRST_US))
        for email, author_id in self._authors:
            name = email.partition("@")[0].replace("-", " ").title()
            self._rows[CommitAuthor].append((author_id, organization_id, email, name, email, folded_key(name)))
        for name, environment_id in self._environment_ids.items():
            self._rows[Environment].append((environment_id, organization_id, name, FIRST_US))
            self._rows[EnvironmentProject] += [(project_id, name, environment_id) for project_id in self._project_ids]

    def _make_release(self, number: int) -> None:
        draw = self._random
        places = self._places(number)
        time_us = FIRST_US + (number * SPAN_US + draw.randrange(SPAN_US)) // self._size
        released = draw.random() < 0.7
        sort_us = time_us + draw.randrange(5 * 24 * 60) * MINUTE if released else time_us
        release = _Draft(
            id=id_at(time_us),
            version=self._version(number, places[0], time_us),
            status=_ARCHIVED if draw.random() < 0.1 else _OPEN,
            time_us=time_us,
            sort_us=sort_us,
            project_ids=[self._project_ids[place] for place in sorted(set(places))],
        )
        commit_count, author_count, last_commit_id = self._make_commits(release, places[0])
        deploy_count, last_deploy_id = self._make_deploys(release)
        label_count = self._make_labels(release, number)
        parsed = parse_version(release.version)
        keys = release.sort_us, parsed.sort_key, parsed.build_key
        owner = f"Team {draw.randrange(TEAMS)}" if draw.random() < 0.6 else ""
        said = release.version, folded(release.version), release.status, self._ref(number), "", owner, folded_key(owner)
        times = sort_us if released else None, time_us, time_us
        contents = commit_count, author_count, min(commit_count, 1), 0, label_count, last_commit_id
        of_version = parsed.package, parsed.build_code
        of_release = (
            release.id,
            self._organization_id,
            *said,
            "",
            *times,
            1,
            *keys,
            *of_version,
            len(release.project_ids),
        )
        self._rows[Release].append((*of_release, *contents, deploy_count, last_deploy_id))
        copied = release.status, *keys, release.version, commit_count, deploy_count
        self._rows[ReleaseProject] += [
            (project_id, release.id, self._organization_id, *copied) for project_id in release.project_ids
        ]

    def _places(self, number: int) -> list[int]:
        """Its projects, the one that names its package first: one to five, each perhaps several times."""
        draw = self._random
        count = draw.choices((1, 2, 3, 4, 5), (60, 20, 10, 6, 4))[0]
        places = draw.choices(range(_WEIGHTED), cum_weights=self._weights, k=count)
        every = self._size // 20
        if number % every < len(PROJECTS) - _WEIGHTED:
            places.append(_WEIGHTED + number % every)
        return places

    def _version(self, number: int, place: int, time_us: int) -> str:
        """Three of ten semantic ones with a package; most of the others are the ids of commits."""
        draw = self._random
        kind = draw.random()
        if kind < 0.3:
            count = self._semantic[place]
            self._semantic[place] += 1
            text = f"package-{place:02}@{count // 1000}.{count // 20 % 50}.{count % 20}"
            if draw.random() < 0.2:
                text += f"-rc.{count % 3 + 1}"
            return f"{text}+{count + 100}" if draw.random() < 0.4 else text
        if kind < 0.9:
            return f"{draw.getrandbits(160):040x}"
        day = datetime.fromtimestamp(time_us // 1_000_000, UTC).strftime("%Y-%m-%d")
        return f"Nightly-{day}-{number}"

    def _ref(self, number: int) -> str:
        kind = self._random.random()
        if kind < 0.6:
            return "main"
        return f"feature/{number}" if kind < 0.7 else f"release/{number % 30}.x" if kind < 0.8 else ""

    def _make_commits(self, release: _Draft, place: int) -> tuple[int, int, bytes | None]:
        """A quarter of the releases have some, three on average."""
        draw = self._random
        if draw.random() >= 0.25:
            return 0, 0, None
        count = 1 + int(draw.expovariate(0.4))
        repository_id = self._repository_ids[place % len(self._repository_ids)]
        authors, newest = {}, None
        for position in range(count):
            busy = draw.random() < 0.5
            chosen = draw.randrange(BUSY_AUTHORS) if busy else draw.randrange(BUSY_AUTHORS, len(self._authors))
            email, author_id = self._authors[chosen]
            authors[email] = author_id
            commit_id, key = new_id(), f"{draw.getrandbits(160):040x}"
            newest = newest or commit_id
            self._commits += 1
            message = f"Change thing {self._commits}"
            if self._commits % 5 == 0:
                reference = f"WEB-{self._commits}"
                message += f"\n\nFixes {reference}"
                said = reference, folded_key(reference)
                self._rows[CommitReference].append((commit_id, 0, *said))
                self._rows[ReleaseReference].append((release.id, said[0], commit_id, self._organization_id, said[1]))
            commit_us = release.time_us - position * MINUTE
            self._rows[Commit].append(
                (commit_id, self._organization_id, repository_id, key, author_id, email, message, commit_us, 0)
            )
            self._rows[ReleaseCommit].append((release.id, position, commit_id))
        self._rows[ReleaseAuthor] += [(release.id, email, author_id) for email, author_id in authors.items()]
        self._rows[ReleaseHead].append((release.id, repository_id, newest, False, None))
        return count, len(authors), newest

    def _make_deploys(self, release: _Draft) -> tuple[int, bytes | None]:
        """Three of ten releases were deployed, once to three times, for all of their projects."""
        draw = self._random
        if draw.random() >= 0.3:
            return 0, None
        count, last_id = draw.randint(1, 3), None
        latest: dict[bytes, tuple[bytes, int, int]] = {}
        finish_us = release.time_us
        for name in draw.choices([*ENVIRONMENTS], [*ENVIRONMENTS.values()], k=count):
            environment_id = self._environment_ids[name]
            finish_us += draw.randrange(1, 24 * 60) * MINUTE
            last_id = id_at(finish_us)
            known = (self._organization_id, release.id, environment_id)
            self._rows[Deploy].append((last_id, *known, "", "", None, finish_us, finish_us))
            self._rows[DeployProject] += [
                (project_id, environment_id, finish_us, last_id, release.id) for project_id in release.project_ids
            ]
            latest[environment_id] = last_id, finish_us, latest.get(environment_id, (b"", 0, 0))[2] + 1
        self._rows[ReleaseEnvironment] += [
            (release.id, project_id, environment_id, *newest)
            for project_id in release.project_ids
            for environment_id, newest in latest.items()
        ]
        return count, last_id

    def _make_labels(self, release: _Draft, number: int) -> int:
        draw = self._random
        labels = {}
        if draw.random() < 0.4:
            labels["team"] = team(draw.randrange(TEAMS))
        if draw.random() < 0.5:
            labels["train"] = train(number // 20)
        self._rows[ReleaseLabel] += [
            (release.id, key, value, self._organization_id) for key, value in sorted(labels.items())
        ]
        return len(labels)


COLUMNS: Final[Mapping[Any, str]] = {
    Repository: "id organization_id display_name active_name url provider state create_time update_time",
    CommitAuthor: "id organization_id email display_name folded_email folded_name",
    Environment: "id organization_id display_name create_time",
    EnvironmentProject: "project_id display_name environment_id",
    Release: (
        "id organization_id version folded_version status ref url owner folded_owner user_agent release_time "
        "create_time update_time revision sort_time version_key build_key package build_code project_count "
        "commit_count author_count head_count file_count label_count last_commit_id deploy_count last_deploy_id"
    ),
    ReleaseProject: (
        "project_id release_id organization_id status sort_time version_key build_key version commit_count deploy_count"
    ),
    ReleaseLabel: "release_id key value organization_id",
    Commit: "id organization_id repository_id key author_id author_name message commit_time changed_file_count",
    CommitReference: "commit_id position reference folded_reference",
    ReleaseCommit: "release_id position commit_id",
    ReleaseReference: "release_id reference commit_id organization_id folded_reference",
    ReleaseAuthor: "release_id email author_id",
    ReleaseHead: "release_id repository_id commit_id from_ref previous_key",
    Deploy: ("id organization_id release_id environment_id display_name url start_time finish_time create_time"),
    DeployProject: "project_id environment_id finish_time deploy_id release_id",
    ReleaseEnvironment: ("release_id project_id environment_id last_deploy_id last_finish_time deploy_count"),
}
