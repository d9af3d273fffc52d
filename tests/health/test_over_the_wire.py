"""Sessions told and figures asked for as clients do it, against the model that keeps every session."""

from __future__ import annotations

import os
import random
from collections.abc import Collection, Sequence
from typing import Any

import pytest
from releaseregistry.v1 import admin_pb2, admin_pb2_grpc, health_pb2, releases_pb2, sessions_pb2

from store.health.items import SessionLimits
from store.health.shares import Shares
from store.health.upkeep import keep_up
from store.health.windows import HOUR_US, Period, Window, hour_of, window_of
from tests.health.messages import ORGANIZATION, counts_message, spoil, told_figures, update_message
from tests.health.model import Limits, Model, Stage, check_adoption, check_shares, check_users
from tests.health.telling import VERSIONS, Batch, Clients
from tests.rpc.wire import Served

RUNS = int(os.environ.get("HEALTH_RUNS", "4"))
STEPS = 40
LIMITS = Limits(31, 35, 400)
RELEASES = VERSIONS[:3]
ENVIRONMENT_SETS: tuple[tuple[str, ...], ...] = ((), ("production",), ("staging", ""), ("",))
PROJECTS = ("api", "web")


class Client:
    """Calls, and a model that is told the same. The releases are there: which server finds them, and when, is no
    matter here."""

    def __init__(self, server: Served) -> None:
        self.server = server
        server.make_organization("acme", projects=PROJECTS)
        for version in RELEASES:
            server.make_release(ORGANIZATION, version, *PROJECTS)
        self.clients = Clients(PROJECTS, LIMITS)
        self.model = Model(PROJECTS, LIMITS)
        for version in RELEASES:
            self.model.releases[version] = set(PROJECTS)

    @property
    def now_us(self) -> int:
        return self.server.clock.now_us()

    def tell(self, chance: random.Random) -> None:
        """In one call, or as a stream; some items spoiled."""
        new = (self.clients.batch, self.clients.fresh)
        again = chance.random() < 0.3
        batch = self.clients.again(chance) if again else chance.choice(new)(chance, self.now_us)
        updates, counts = [*map(update_message, batch.updates)], [*map(counts_message, batch.counts)]
        wrong = {
            (kind, place): spoil(message, chance)
            for kind, messages in (("updates", updates), ("counts", counts))
            for place, message in enumerate(messages)
            if chance.random() < 0.1
        }
        good = Batch(
            [update for place, update in enumerate(batch.updates) if ("updates", place) not in wrong],
            [told for place, told in enumerate(batch.counts) if ("counts", place) not in wrong],
        )
        places = {
            kind: [place for place in range(len(messages)) if (kind, place) not in wrong]
            for kind, messages in (("updates", updates), ("counts", counts))
        }
        recorded, known, refused = self.model.tell(good.updates, good.counts, self.now_us)
        everything = [(kind, place, field) for (kind, place), field in wrong.items()]
        everything += [(kind, places[kind][place], field) for kind, place, field in refused]
        told = self._streamed(updates, counts, chance) if chance.random() < 0.3 else self._recorded(updates, counts)
        assert (told.recorded_count, told.known_count, told.refused_count) == (recorded, known, len(everything))
        in_order = sorted(everything, key=lambda item: (item[0] == "counts", item[1]))
        assert [each.field for each in told.refused] == [f"{kind}[{at}].{field}" for kind, at, field in in_order[:100]]

    def let_time_pass(self, chance: random.Random) -> None:
        self.server.clock.advance(seconds=chance.choice((60, 3600, 9 * 3600, 30 * 3600)) * chance.random())

    def keep_up(self, _: random.Random) -> None:
        keep_up(self.server.database, SessionLimits(LIMITS.session_days, LIMITS.hour_days, LIMITS.days))

    def ask(self, chance: random.Random) -> None:
        """For the health of a release, as the contract has it."""
        version, environments = chance.choice(RELEASES), chance.choice(ENVIRONMENT_SETS)
        period = chance.choice([*Period])
        request = health_pb2.GetReleaseHealthRequest(
            name=f"{ORGANIZATION}/releases/{version}", environments=environments, period=_period(period)
        )
        answer = self.server.health.GetReleaseHealth(request, metadata=self.server.operator)
        window = window_of(period, self.now_us)
        assert answer.start_time.ToMicroseconds() == window.start_us
        assert answer.end_time.ToMicroseconds() == window.end_us
        assert answer.interval.ToMicroseconds() == window.step_us
        assert [each.project for each in answer.projects] == [f"{ORGANIZATION}/projects/{slug}" for slug in PROJECTS]
        for slug, told in zip(PROJECTS, answer.projects, strict=True):
            self._check(told, slug, version, window, environments)

    def see_all(self, chance: random.Random) -> None:
        """Releases with what sessions say of them, or sorted by it."""
        summary, series = chance.choice([*Period]), chance.choice([*Period])
        stat = chance.choice((health_pb2.HEALTH_STAT_SESSIONS, health_pb2.HEALTH_STAT_USERS))
        options = releases_pb2.HealthOptions(
            health=True, summary_period=_period(summary), series_period=_period(series), series_stat=stat
        )
        request = releases_pb2.ListReleasesRequest(parent=ORGANIZATION, health_options=options)
        sort = chance.choice((None, *SORTS))
        if sort is not None:
            request.flatten, request.sort = True, sort
            request.direction = chance.choice((releases_pb2.SORT_DIRECTION_ASCENDING, DESCENDING))
        releases = [
            release
            for release in self.server.releases.ListReleases(request, metadata=self.server.operator).releases
            if release.version in RELEASES
        ]
        rows = [(release.version, each) for release in releases for each in release.in_projects]
        assert len(rows) == len(RELEASES) * len(PROJECTS)
        for version, row in rows:
            slug = row.project.rpartition("/")[2]
            window = window_of(summary, self.now_us)
            expected = self.model.figures(slug, version, window.start_us, window.end_us, None)
            expected.check(told_figures(row.health.figures))
            self._check_shares(row.health.adoption, slug, version, None)
            self._check_series(row.health.series, slug, version, window_of(series, self.now_us), stat)
        if sort is not None:
            values = [SORTS[sort](row.health) for _, row in rows]
            with_data = [value for value in values if value is not None]
            assert values[: len(with_data)] == with_data, "releases without data come last"
            assert with_data == sorted(with_data, reverse=request.direction == DESCENDING)

    def adopt(self, chance: random.Random) -> None:
        """The job runs; what it found is told in lists, too."""
        stub = admin_pb2_grpc.AdminServiceStub(self.server.channel)
        stub.RunAdoption(admin_pb2.RunAdoptionRequest(), metadata=self.server.operator)
        self.model.run_adoption(self.now_us)
        version = chance.choice(RELEASES)
        name = f"{ORGANIZATION}/releases/{version}"
        answer = self.server.health.GetAdoption(health_pb2.GetAdoptionRequest(name=name), metadata=self.server.operator)
        asked = releases_pb2.GetReleaseRequest(
            name=name, health_options=releases_pb2.HealthOptions(adoption_stages=True)
        )
        release = self.server.releases.GetRelease(asked, metadata=self.server.operator).release
        self._check_stages(version, [each.adoption for each in answer.adoptions])
        self._check_stages(version, [each for project in release.in_projects for each in project.adoptions])
        for each in answer.adoptions:
            slug = each.adoption.project.rpartition("/")[2]
            self._check_shares(each.shares, slug, version, [each.adoption.environment])

    def _check_stages(self, version: str, told: Sequence[health_pb2.ReleaseAdoption]) -> None:
        """Where it never was adopted it may be told of, or not: that is when somebody has found its sessions."""
        found = {
            (each.project.rpartition("/")[2], version, each.environment): Stage(
                each.adopt_time.ToMicroseconds() or None, each.unadopt_time.ToMicroseconds() or None
            )
            for each in told
            if each.stage != health_pb2.ADOPTION_STAGE_LOW_ADOPTION
        }
        places = {place: stage for place, stage in self.model.stages.items() if place[1] == version and place[2]}
        assert found == {place: stage for place, stage in places.items() if stage.adopted is not None}
        for each in told:
            words = (each.HasField("adopt_time"), each.HasField("unadopt_time"))
            assert each.stage == STAGES[words]

    def _recorded(
        self, updates: list[sessions_pb2.SessionUpdate], counts: list[sessions_pb2.SessionCounts]
    ) -> sessions_pb2.RecordedSessions:
        request = sessions_pb2.RecordSessionsRequest(parent=ORGANIZATION, updates=updates, counts=counts)
        return self.server.health.RecordSessions(request, metadata=self.server.operator).recorded

    def _streamed(
        self,
        updates: list[sessions_pb2.SessionUpdate],
        counts: list[sessions_pb2.SessionCounts],
        chance: random.Random,
    ) -> sessions_pb2.RecordedSessions:
        requests = [sessions_pb2.StreamSessionsRequest(parent=ORGANIZATION)]
        while updates or counts:
            cut = chance.randrange(1, 20)
            requests.append(sessions_pb2.StreamSessionsRequest(updates=updates[:cut], counts=counts[: cut // 4]))
            updates, counts = updates[cut:], counts[cut // 4 :]
        requests[-1].finish = True
        return self.server.health.StreamSessions(iter(requests), metadata=self.server.operator, timeout=60).recorded

    def _check(
        self, told: health_pb2.ProjectHealth, slug: str, version: str, window: Window, environments: Collection[str]
    ) -> None:
        figures = self.model.figures
        figures(slug, version, window.start_us, window.end_us, environments).check(told_figures(told.figures))
        assert [bucket.start_time.ToMicroseconds() for bucket in told.buckets] == [*window.buckets]
        for start, bucket in zip(window.buckets, told.buckets, strict=True):
            expected = figures(slug, version, start, start + window.step_us, environments)
            expected.check(told_figures(bucket.figures))
            every = figures(slug, None, start, start + window.step_us, environments)
            check_adoption(_share(bucket, "session_adoption"), expected.session_count, every.session_count)
        self._check_shares(told.adoption, slug, version, environments)
        began = self.model.began(slug, version, environments)
        assert told.has_health_data == bool(began)
        bounds = (told.first_session_time, told.last_session_time)
        assert [bound.ToMicroseconds() for bound in bounds] == ([began[0], began[-1]] if began else [0, 0])

    def _check_shares(
        self, told: health_pb2.HealthAdoption, slug: str, version: str, environments: Collection[str] | None
    ) -> None:
        start, end = hour_of(self.now_us) - 23 * HOUR_US, hour_of(self.now_us) + HOUR_US
        release, project = (self.model.figures(slug, each, start, end, environments) for each in (version, None))
        shares = Shares(told.user_count, told.session_count, told.project_user_count, told.project_session_count)
        check_shares(shares, release, project)
        assert _share(told, "user_adoption") == shares.user_adoption
        assert _share(told, "session_adoption") == shares.session_adoption

    def _check_series(
        self, told: Collection[health_pb2.HealthCount], slug: str, version: str, window: Window, stat: int
    ) -> None:
        assert [each.start_time.ToMicroseconds() for each in told] == [*window.buckets]
        for start, each in zip(window.buckets, told, strict=True):
            expected = self.model.figures(slug, version, start, start + window.step_us, None)
            if stat == health_pb2.HEALTH_STAT_USERS:
                check_users(each.count, len(expected.users))
            else:
                assert each.count == expected.session_count


STAGES = {
    (False, False): health_pb2.ADOPTION_STAGE_LOW_ADOPTION,
    (True, False): health_pb2.ADOPTION_STAGE_ADOPTED,
    (True, True): health_pb2.ADOPTION_STAGE_REPLACED,
}
DESCENDING = releases_pb2.SORT_DIRECTION_DESCENDING
SORTS: dict[Any, Any] = {
    releases_pb2.RELEASE_SORT_SESSIONS: lambda health: health.figures.session_count or None,
    releases_pb2.RELEASE_SORT_USERS: lambda health: health.figures.user_count or None,
    releases_pb2.RELEASE_SORT_SESSIONS_24H: lambda health: health.adoption.session_count or None,
    releases_pb2.RELEASE_SORT_USERS_24H: lambda health: health.adoption.user_count or None,
    releases_pb2.RELEASE_SORT_CRASH_FREE_SESSIONS: lambda health: _share(health.figures, "crash_free_sessions"),
    releases_pb2.RELEASE_SORT_CRASH_FREE_USERS: lambda health: _share(health.figures, "crash_free_users"),
}


def _share(message: Any, name: str) -> float | None:
    return getattr(message, name) if message.HasField(name) else None


def _period(period: Period) -> Any:
    return health_pb2.HealthPeriod.Name(period)


STEPS_OF = (
    *[Client.tell] * 5,
    *[Client.let_time_pass] * 3,
    Client.keep_up,
    *[Client.ask] * 2,
    *[Client.see_all] * 2,
    *[Client.adopt] * 3,
)


@pytest.mark.timeout(120 + 10 * RUNS)
@pytest.mark.parametrize("seed", range(RUNS))
def test_what_is_told_is_answered(server: Served, seed: int) -> None:
    client = Client(server)
    chance = random.Random(seed)
    for _ in range(STEPS):
        chance.choice(STEPS_OF)(client, chance)
    for _ in range(5):
        client.ask(chance)
        client.see_all(chance)
    assert client.model.sessions
