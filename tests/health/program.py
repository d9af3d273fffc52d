"""An organization whose clients tell of sessions, and what is then told of its releases, held against a model."""

from __future__ import annotations

import itertools
import random
from collections.abc import Collection
from typing import Any

import pytest

from store.database import Database
from store.errors import ReleaseHasHealth, ReleaseNotFound
from store.health.adoption import run_adoption
from store.health.discovery import discover
from store.health.figures import NO_FIGURES, had_sessions, project_figures, read_figures, read_series, session_bounds
from store.health.get_adoption import get_adoption
from store.health.items import Recorded, SessionLimits
from store.health.read import HealthQuestion, ProjectHealth, get_release_health
from store.health.record import record_sessions
from store.health.shares import read_shares
from store.health.sketches import Users
from store.health.spans import Span
from store.health.upkeep import keep_up
from store.health.users import user_numbers, users_key
from store.health.windows import DAY_US, HOUR_US, Period, Window, ceil_to, day_of, floor_to, hour_of, window_of
from store.organizations.projects import ProjectChanges, update_project
from store.releases.delete import delete_release
from store.releases.drain import drain_deleted_releases
from store.releases.read import get_release
from tests.clocks import ManualClock
from tests.contract.acme import Acme
from tests.health.model import Limits, Model, Stage, check_adoption, check_shares
from tests.health.telling import ENVIRONMENTS, USERS, VERSIONS, Batch, Clients

_NUMBERS = itertools.count(1)
_LIMITS = (Limits(31, 35, 400), Limits(2, 4, 95))
_ENVIRONMENT_SETS: tuple[tuple[str, ...] | None, ...] = (
    None,
    (),
    *((environment,) for environment in ENVIRONMENTS),
    ("production", ""),
    ("nowhere",),
)


class Program:
    """An organization whose clients tell of sessions, and a model that is told the same."""

    def __init__(self, database: Database, clock: ManualClock, seed: int) -> None:
        limits = random.Random(f"{seed} limits").choice(_LIMITS)
        self.database, self.clock = database, clock
        self.limits = SessionLimits(limits.session_days, limits.hour_days, limits.days)
        self.acme = new_organization(database)
        self.clients = Clients(tuple(self.acme.projects), limits)
        self.model = Model(sorted(self.acme.projects, key=lambda slug: self.acme.projects[slug]), limits)

    @property
    def now_us(self) -> int:
        return self.clock.now_us()

    def tell(self, chance: random.Random) -> None:
        self._tell(self.clients.batch(chance, self.now_us))

    def tell_what_is_new(self, chance: random.Random) -> None:
        self._tell(self.clients.fresh(chance, self.now_us))

    def tell_of_a_crowd(self, chance: random.Random) -> None:
        self._tell(self.clients.crowd(chance, self.now_us))

    def let_hours_pass(self, chance: random.Random) -> None:
        self.clock.advance(seconds=chance.randrange(9 * 3600))

    def tell_again(self, chance: random.Random) -> None:
        self._tell(self.clients.again(chance))

    def let_time_pass(self, chance: random.Random) -> None:
        hours = chance.choice((0.01, 0.5, 1, 5, 24, 24, 50, 24 * chance.randrange(40)))
        self.clock.advance(seconds=round(hours * 3600 * (0.5 + chance.random())))

    def keep_up(self, chance: random.Random) -> None:
        """Hours become days, and what is old goes; sometimes not all of it."""
        left = itertools.count(chance.choice((0, 1, 5, 20, 10**9, 10**9)), -1)
        keep_up(self.database, self.limits, stopped=lambda: next(left) <= 0)

    def discover(self, _: random.Random) -> None:
        discover(self.database, self.acme.projects.values())
        self.model.discover(self.now_us)
        for version in VERSIONS:
            assert self._projects_of(version) == self.model.releases.get(version, set())

    def adopt(self, _: random.Random) -> None:
        run_adoption(self.database)
        self.model.run_adoption(self.now_us)
        self._check_adoption()

    def take_a_turn(self, chance: random.Random) -> None:
        """Of the job, some hours and sessions later."""
        self.let_hours_pass(chance)
        self.tell_what_is_new(chance)
        self.adopt(chance)

    def forbid(self, chance: random.Random) -> None:
        """Releases of a project by sessions, or allow them again."""
        slug, manual = chance.choice(self.model.projects), chance.random() < 0.5
        changes = ProjectChanges(manual_releases=manual)
        update_project(self.database, self.acme.everybody, self.acme.slug, slug, changes)
        (self.model.manual.add if manual else self.model.manual.discard)(slug)

    def delete(self, chance: random.Random) -> None:
        """A release, with force or without; its sessions may come again, and are not counted then."""
        there = [] if chance.random() < 0.1 else sorted(self.model.releases)
        version, force = chance.choice(there or VERSIONS), chance.random() < 0.7
        if version not in self.model.releases:
            with pytest.raises(ReleaseNotFound):
                delete_release(self.database, self.acme.everybody, self.acme.slug, version, force=force)
        elif not force and self.model.has_health(version, self.now_us):
            with pytest.raises(ReleaseHasHealth):
                delete_release(self.database, self.acme.everybody, self.acme.slug, version)
        else:
            delete_release(self.database, self.acme.everybody, self.acme.slug, version, force=force)
            self.model.delete_release(version)
            self.tell_again(chance)

    def drain(self, _: random.Random) -> None:
        drain_deleted_releases(self.database)

    def look(self, chance: random.Random) -> None:
        """At something; at all else in the end."""
        for _ in range(3):
            self._check(self._any_window(chance), chance.choice(_ENVIRONMENT_SETS))

    def ask(self, chance: random.Random) -> None:
        """For the health of a release, in all its projects."""
        version, environments = chance.choice(VERSIONS), chance.choice(_ENVIRONMENT_SETS)
        question = HealthQuestion((), environments or (), self._any_span(chance), milestones=True)
        arguments = self.database, self.acme.everybody, self.acme.slug, version, question
        attached = self.model.releases.get(version, set())
        known = {slug for slug in self.model.projects if self._kept(self.model.began(slug, version, None))}
        try:
            health = get_release_health(*arguments, hour_days=self.limits.hour_days)
        except ReleaseNotFound:
            assert not attached | known
            return
        check_span(health.window, question.span, self.now_us)
        told = [project.project.slug for project in health.projects]
        assert told == sorted(told)
        assert attached | known <= {*told}
        details = None if not attached else get_release(self.database, self.acme.everybody, self.acme.slug, version)
        create_us = None if details is None else details.release.create_time
        for project in health.projects:
            self._check_health(project, version, health.window, environments)
            if create_us is not None and create_us >= self.now_us - 90 * DAY_US:
                self._check_milestones(project, version, create_us, environments)

    def look_at_everything(self) -> None:
        """Every period, and some other spans, in all environments."""
        chance = random.Random(0)
        windows = [window_of(period, self.now_us) for period in Period]
        for window in (*windows, self._any_window(chance), self._any_window(chance)):
            for environments in (None, chance.choice(_ENVIRONMENT_SETS)):
                self._check(window, environments)
        self._check_adoption()
        for _ in range(10):
            self.ask(chance)

    def _projects_of(self, version: str) -> set[str]:
        try:
            details = get_release(self.database, self.acme.everybody, self.acme.slug, version)
        except ReleaseNotFound:
            return set()
        return {project.slug for project in details.release.projects}

    def _tell(self, batch: Batch) -> None:
        told: Recorded = record_sessions(
            self.database, self.acme.everybody, self.acme.slug, batch.updates, batch.counts, limits=self.limits
        )
        expected = self.model.tell(batch.updates, batch.counts, self.now_us)
        refused = sorted((refusal.items, refusal.place, refusal.field) for refusal in told.refused)
        assert (told.recorded, told.known, refused) == expected

    def _any_window(self, chance: random.Random) -> Window:
        """Hours, while they are kept, or days."""
        if chance.random() < 0.5:
            oldest = hour_of(self.now_us) - (self.limits.hour_days - 1) * DAY_US
            hours = chance.randrange(1, min(self.limits.hour_days * 24, 200))
            start = ceil_to(oldest, HOUR_US) + HOUR_US * chance.randrange(self.limits.hour_days * 24 - hours)
            return Window(start, start + hours * HOUR_US, chance.choice((1, 1, 6)) * HOUR_US)
        days = chance.randrange(1, 60)
        start = day_of(self.now_us) - DAY_US * chance.randrange(days + 20)
        return Window(start, start + days * DAY_US, chance.choice((1, 1, 7)) * DAY_US)

    def _check(self, window: Window, environments: Collection[str] | None) -> None:
        ids = self.acme.projects
        pairs = [(ids[slug], version) for slug in ids for version in VERSIONS]
        asked: Any = environments
        figures = read_figures(self.database, pairs, window, asked)
        series = read_series(self.database, pairs, window, asked)
        of_projects = project_figures(self.database, ids.values(), window, asked)
        bounds = session_bounds(self.database, pairs, asked)
        had = had_sessions(self.database, pairs, window.start_us, asked)
        shares = read_shares(self.database, pairs, self.now_us, asked)
        hour = hour_of(self.now_us)
        for slug, project_id in ids.items():
            whole = self.model.figures(slug, None, window.start_us, window.end_us, environments)
            whole.check(of_projects.get(project_id, NO_FIGURES))
            all_day = self.model.figures(slug, None, hour - 23 * HOUR_US, hour + HOUR_US, environments)
            for version in VERSIONS:
                pair = project_id, version
                expected = self.model.figures(slug, version, window.start_us, window.end_us, environments)
                assert (pair in figures) == (expected.session_count > 0)
                expected.check(figures.get(pair, NO_FIGURES))
                told = series.get(pair, [NO_FIGURES] * len(window.buckets))
                for start, bucket in zip(window.buckets, told, strict=True):
                    end = min(start + window.step_us, window.end_us)
                    self.model.figures(slug, version, start, end, environments).check(bucket)
                day = self.model.figures(slug, version, hour - 23 * HOUR_US, hour + HOUR_US, environments)
                check_shares(shares[pair], day, all_day)
                began = self.model.began(slug, version, environments)
                self._check_bounds(bounds.get(pair), began)
                assert (pair in had) == bool(began and began[-1] >= window.start_us)

    def _check_health(
        self, told: ProjectHealth, version: str, window: Window, environments: Collection[str] | None
    ) -> None:
        slug = told.project.slug
        self.model.figures(slug, version, window.start_us, window.end_us, environments).check(told.figures)
        assert [bucket.start_us for bucket in told.buckets] == [*window.buckets]
        for bucket in told.buckets:
            end = bucket.start_us + window.step_us
            expected = self.model.figures(slug, version, bucket.start_us, end, environments)
            expected.check(bucket.figures)
            every = self.model.figures(slug, None, bucket.start_us, end, environments)
            check_adoption(bucket.session_adoption, expected.session_count, every.session_count)
        hour = hour_of(self.now_us)
        day, all_day = (
            self.model.figures(slug, each, hour - 23 * HOUR_US, hour + HOUR_US, environments)
            for each in (version, None)
        )
        check_shares(told.shares, day, all_day)
        began = self.model.began(slug, version, environments)
        bounds = None if told.first_us is None or told.last_us is None else (told.first_us, told.last_us)
        self._check_bounds(bounds, began)
        recent = any(time_us >= self.now_us - 90 * DAY_US for time_us in began)
        assert told.has_health_data == (told.figures.session_count > 0 or recent)

    def _check_milestones(
        self, told: ProjectHealth, version: str, create_us: int, environments: Collection[str] | None
    ) -> None:
        assert [milestone.end_us for milestone in told.milestones] == milestones(create_us, self.now_us)
        since = day_of(self.now_us - self.limits.hour_days * DAY_US) + DAY_US
        start = floor_to(create_us, DAY_US if create_us < since else HOUR_US)
        for milestone in told.milestones:
            end = ceil_to(milestone.end_us, DAY_US if milestone.end_us < since else HOUR_US)
            self.model.figures(told.project.slug, version, start, end, environments).check(milestone.figures)

    def _kept(self, began: list[int]) -> list[int]:
        return [time_us for time_us in began if time_us >= day_of(self.now_us) - self.limits.days * DAY_US]

    def _any_span(self, chance: random.Random) -> Span:
        if chance.random() < 0.5:
            return Span(period=chance.choice((None, *Period)))
        start = self.now_us - chance.randrange(1, 80 * DAY_US)
        if chance.random() < 0.3:
            return Span(start_us=start)
        end = start + chance.randrange(1, 5 * DAY_US)
        return Span(start_us=start, end_us=end, interval_us=chance.choice((None, None, DAY_US, 3 * DAY_US)))

    def _check_adoption(self) -> None:
        hour = hour_of(self.now_us)
        for version in self.model.releases:
            told = get_adoption(self.database, self.acme.everybody, self.acme.slug, version)
            stages = {
                (each.project_slug, version, each.stage.environment): Stage(
                    each.stage.adopted_time, each.stage.unadopted_time
                )
                for each in told.adoptions
            }
            assert [*stages] == sorted(stages)
            assert stages == {
                place: stage for place, stage in self.model.stages.items() if place[1] == version and place[2]
            }
            for each in told.adoptions:
                day, all_day = (
                    self.model.figures(
                        each.project_slug, which, hour - 23 * HOUR_US, hour + HOUR_US, [each.stage.environment]
                    )
                    for which in (version, None)
                )
                check_shares(each.shares, day, all_day)

    def _check_bounds(self, told: tuple[int, int] | None, began: list[int]) -> None:
        """The first and the last, as far as is known: what is older than days are kept may be forgotten."""
        kept = self._kept(began)
        if kept:
            assert told is not None
            assert told[1] == kept[-1]
            assert told[0] <= kept[0]
        assert told is None or {*told} <= {*began}


def check_span(window: Window, span: Span, now_us: int) -> None:
    """What was asked for, rounded outward."""
    if span.start_us is None:
        assert window == window_of(span.period or Period.LAST_14D, now_us)
        return
    step, end = window.step_us, now_us if span.end_us is None else span.end_us
    assert (step == span.interval_us) or (span.interval_us is None and step in (HOUR_US, DAY_US))
    assert window.start_us % step == window.end_us % step == 0
    assert (window.start_us <= span.start_us < window.start_us + step, window.end_us - step < end <= window.end_us) == (
        True,
        True,
    )


def milestones(create_us: int, now_us: int) -> list[int]:
    """When the milestones of a release end."""
    ends: list[int] = []
    for days in (1, 2, 7, 14, 30):
        if create_us + days * DAY_US > now_us:
            return [*ends, now_us] if not ends or now_us - ends[-1] > DAY_US else ends
        ends.append(create_us + days * DAY_US)
    return ends


def new_organization(database: Database) -> Acme:
    """One whose users all differ in their sketches, too: of some thousand million, two such users do not."""
    while True:
        acme = Acme(database, "web", "api", slug=f"acme-{next(_NUMBERS)}")
        users = Users.of(None)
        users.add(user_numbers(users_key(database, acme.id), USERS).values())
        if users.estimate() == len(USERS):
            return acme
