"""What the service should answer, worked out from all that was ever told: lists and sets, no sums and no sketches."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction

from store.health.figures import Figures
from store.health.items import SessionCounts, SessionStatus, SessionUpdate
from store.health.shares import Shares
from store.health.sketches import RANK_ERROR, USER_ERROR
from store.health.windows import DAY_US, HOUR_US

EXACT_USERS = 60
"""So many users at most are counted exactly."""
EXACT_DURATIONS = 150
"""Of so many durations at most the quantiles are exact."""
USERS_OFF = 6 * USER_ERROR
RANK_OFF = 3 * RANK_ERROR
"""What no estimate of a thousand runs is off by: twice in 10**9 for users, and less for ranks."""

MINUTE_US = 60_000_000

Key = tuple[str, bytes]
"""The slug of a project, and the id of a session or of counts."""
Place = tuple[str, str, str]
"""The slug of a project, a version and an environment."""
Told = tuple[int, int, list[tuple[str, int, str]]]
"""How many items were recorded, how many known, and the list, place and field of those refused."""


@dataclass
class Session:
    """All that was told of a session, in the order in which it was told."""

    told: list[SessionUpdate]
    deleted: bool = False
    """Its release was deleted since: it counts only in what is said of the project."""

    @property
    def first(self) -> SessionUpdate:
        """What says where and when it counts."""
        return self.told[0]

    @property
    def state(self) -> tuple[int, int, int]:
        """Sequence, status and errors of the update that counts."""
        return max((update.sequence, update.status, update.error_count) for update in self.told)


@dataclass
class Stage:
    """When a release was adopted somewhere, and replaced."""

    adopted: int | None = None
    unadopted: int | None = None


@dataclass
class Expected:
    """What sessions say, with the users and durations themselves."""

    session_count: int = 0
    crashed_count: int = 0
    abnormal_count: int = 0
    errored_count: int = 0
    error_count: int = 0
    users: set[str] = field(default_factory=set)
    crashed_users: set[str] = field(default_factory=set)
    durations: list[float] = field(default_factory=list)

    def add_session(self, session: Session) -> None:
        """One that was told update by update."""
        _, status, errors = session.state
        self.session_count += 1
        self.error_count += errors
        if status == SessionStatus.CRASHED:
            self.crashed_count += 1
        elif status == SessionStatus.ABNORMAL:
            self.abnormal_count += 1
        elif errors:
            self.errored_count += 1
        self.users |= {update.user for update in session.told if update.user}
        self.crashed_users |= {
            update.user for update in session.told if update.user and update.status == SessionStatus.CRASHED
        }
        ends = (update.duration for update in session.told if update.status == SessionStatus.EXITED)
        lasted = next((duration for duration in ends if duration is not None), None)
        if lasted is not None:
            self.durations.append(lasted / 1_000_000)

    def add_counts(self, counts: SessionCounts) -> None:
        """Those that a client counted."""
        sessions = sum_of(counts)
        self.session_count += sessions
        self.crashed_count += counts.crashed_count
        self.abnormal_count += counts.abnormal_count
        self.errored_count += counts.errored_count
        self.error_count += counts.errored_count + counts.crashed_count
        if counts.user and sessions:
            self.users.add(counts.user)
        if counts.user and counts.crashed_count:
            self.crashed_users.add(counts.user)

    def check(self, told: Figures) -> None:
        """Returns when these figures are right: counts to the last session, estimates within their errors."""
        counted = ("session_count", "crashed_count", "abnormal_count", "errored_count", "error_count")
        assert {name: getattr(told, name) for name in counted} == {name: getattr(self, name) for name in counted}
        check_users(told.user_count, len(self.users))
        check_users(told.crashed_user_count, len(self.crashed_users))
        check_quantile(told.duration_p50, self.durations, 0.5)
        check_quantile(told.duration_p90, self.durations, 0.9)
        check_share(told.crash_free_sessions, self.session_count - self.crashed_count, self.session_count)
        least = max(told.user_count - told.crashed_user_count, 0)  # the share is of what was told
        check_share(told.crash_free_users, least, told.user_count)


def check_users(told: int, users: int) -> None:
    """Exact for few."""
    assert abs(told - users) <= (0 if users <= EXACT_USERS else math.ceil(USERS_OFF * users)), (told, users)


def check_quantile(told: float | None, durations: Collection[float], share: float) -> None:
    """A duration that was told; exact for few, its rank right within the error for many."""
    if not durations:
        assert told is None
        return
    assert told is not None
    spread = sorted(durations)
    error = 0.0 if len(spread) <= EXACT_DURATIONS else RANK_OFF
    first = max(math.ceil((share - error) * len(spread)), 1) - 1
    last = min(math.ceil((share + error) * len(spread)), len(spread)) - 1
    tolerance = 1e-6  # kept as floats of 32 bits
    assert spread[first] * (1 - tolerance) <= told <= spread[last] * (1 + tolerance), (told, spread[first : last + 1])


def check_share(told: float | None, part: int, whole: int) -> None:
    """Percent; not told of nothing."""
    if not whole:
        assert told is None
        return
    assert told is not None
    assert math.isclose(told, float(Fraction(part * 100, whole)), rel_tol=1e-9, abs_tol=1e-9), (told, part, whole)


def check_adoption(told: float | None, part: int, whole: int) -> None:
    """Percent of a project's; not told if either is nothing."""
    check_share(told, part, whole if part else 0)


def check_shares(told: Shares, release: Expected, project: Expected) -> None:
    """Who runs a release, of all that run the project."""
    assert (told.session_count, told.project_session_count) == (release.session_count, project.session_count)
    check_users(told.user_count, len(release.users))
    check_users(told.project_user_count, len(project.users))
    check_adoption(told.session_adoption, release.session_count, project.session_count)
    check_adoption(told.user_adoption, told.user_count, told.project_user_count)


@dataclass(frozen=True)
class Limits:
    """How long things are kept, in days: as the settings of the server."""

    session_days: int
    hour_days: int
    days: int


class Model:
    """One organization: what was told of its projects, which are given by id, and what became of its releases."""

    def __init__(self, projects: Iterable[str], limits: Limits) -> None:
        self.projects = tuple(projects)
        self.limits = limits
        self.sessions: dict[Key, Session] = {}
        self.counts: dict[Key, SessionCounts] = {}
        self.deleted_counts: set[Key] = set()
        self.releases: dict[str, set[str]] = {}
        """The projects of each release."""
        self.manual: set[str] = set()
        """Projects whose releases do not come by sessions."""
        self.stages: dict[Place, Stage] = {}
        """Where releases have sessions, or had."""
        self._sought: dict[str, int] = {}
        self._placed: dict[tuple[str, str | None], list[tuple[str, int, Session | SessionCounts]]] = {}

    def refuses(self, item: SessionUpdate | SessionCounts, now_us: int) -> str | None:
        """Which of its fields is wrong first, if one is."""
        early = now_us - self.limits.session_days * DAY_US
        if not early <= item.start_time <= now_us + HOUR_US:
            return "start_time"
        return None if item.project in self.projects else "project"

    def tell(self, updates: Iterable[SessionUpdate], counts: Iterable[SessionCounts], now_us: int) -> Told:
        """What is told then, and what becomes of it."""
        self._placed.clear()
        recorded = known = 0
        refused = []
        for place, update in enumerate(updates):
            wrong = self.refuses(update, now_us)
            if wrong is not None:
                refused.append(("updates", place, wrong))
            elif self._tell(update):
                recorded += 1
            else:
                known += 1
        for place, item in enumerate(counts):
            wrong = self.refuses(item, now_us)
            if wrong is not None:
                refused.append(("counts", place, wrong))
            elif (key := (str(item.project), item.counts_id)) in self.counts:
                known += 1
            else:
                self.counts[key] = item
                recorded += 1
        return recorded, known, sorted(refused)

    def _tell(self, update: SessionUpdate) -> bool:
        key = (str(update.project), update.session_id)
        session = self.sessions.get(key)
        if session is None:
            self.sessions[key] = Session([update])
            return True
        if session.deleted:
            return False
        before = session.state
        session.told.append(update)
        return session.state > before

    def discover(self, now_us: int) -> None:
        """Versions of the last three days' sessions become releases; once a project and minute."""
        for project in self.projects:
            has_sessions = any(of == project for of, _ in (*self.sessions, *self.counts))
            if not has_sessions or now_us - self._sought.get(project, -MINUTE_US) < MINUTE_US:
                continue
            self._sought[project] = now_us
            for environment, _, what in self.placed(project, None):
                version = version_of(what)
                began = self.began(project, version, [environment])
                if began and began[-1] >= now_us - 3 * DAY_US:
                    self._link(project, version, environment)

    def _link(self, project: str, version: str, environment: str) -> Stage | None:
        if "/" in version or (version not in self.releases and project in self.manual):
            return None
        self.releases.setdefault(version, set()).add(project)
        return self.stages.setdefault((project, version, environment), Stage())

    def run_adoption(self, now_us: int) -> None:
        """Who has a tenth of the sessions of an environment now is adopted there, and the others are not any more."""
        hour = now_us - now_us % HOUR_US
        began = {project: [at for _, at, _ in self.placed(project, None)] for project in self.projects}
        for project in sorted((each for each in self.projects if began[each]), key=lambda each: max(began[each])):
            found = self.sessions_by_environment(project, hour - 5 * HOUR_US, hour + HOUR_US)
            if not any(sum(counts.values()) for counts in found.values()):
                continue
            adopted = {
                (project, version, environment)
                for environment, counts in found.items()
                for version, count in counts.items()
                if environment and version and count and count * 10 >= sum(counts.values())
            }
            for place in sorted(adopted):
                stage = self._link(*place)
                if stage is not None:
                    stage.adopted = now_us if stage.adopted is None else stage.adopted
                    stage.unadopted = None
            for place, stage in self.stages.items():
                if place[0] == project and place not in adopted and stage.adopted is not None:
                    stage.unadopted = now_us if stage.unadopted is None else stage.unadopted

    def has_health(self, version: str, now_us: int) -> bool:
        """Whether the release may be deleted by force only."""
        began = [began for project in self.releases[version] for began in self.began(project, version, None)]
        return any(time_us >= now_us - 90 * DAY_US for time_us in began)

    def delete_release(self, version: str) -> None:
        """All that sessions said of it is gone; what they said of its projects stays."""
        self._placed.clear()
        projects = self.releases.pop(version)
        self.stages = {place: stage for place, stage in self.stages.items() if place[1] != version}
        for (project, _), session in self.sessions.items():
            if project in projects and session.first.version == version:
                session.deleted = True
        self.deleted_counts |= {
            key for key, item in self.counts.items() if key[0] in projects and item.version == version
        }

    def placed(self, project: str, version: str | None) -> list[tuple[str, int, Session | SessionCounts]]:
        """Each session and counts of the project, of one version or of all: the environment, when it began, itself."""
        found = self._placed.get((project, version))
        if found is None:
            found = self._placed[project, version] = [*self._place(project, version)]
        return found

    def _place(self, project: str, version: str | None) -> Iterator[tuple[str, int, Session | SessionCounts]]:
        for (of, _), session in self.sessions.items():
            first = session.first
            if of == project and (version is None or (first.version == version and not session.deleted)):
                yield first.environment, first.start_time, session
        for (of, id_), item in self.counts.items():
            there = version is None or (item.version == version and (of, id_) not in self.deleted_counts)
            if of == project and there:
                yield item.environment, item.start_time, item

    def figures(
        self, project: str, version: str | None, start_us: int, end_us: int, environments: Collection[str] | None
    ) -> Expected:
        """What the sessions say whose hours lie in this span, of one version or of all (None)."""
        found = Expected()
        for environment, began, what in self.placed(project, version):
            if start_us <= began - began % HOUR_US < end_us and (not environments or environment in environments):
                if isinstance(what, Session):
                    found.add_session(what)
                else:
                    found.add_counts(what)
        return found

    def began(self, project: str, version: str | None, environments: Collection[str] | None) -> list[int]:
        """When each session began, in this order; counts without a session did not."""
        return sorted(
            began
            for environment, began, what in self.placed(project, version)
            if (not environments or environment in environments) and (isinstance(what, Session) or sum_of(what))
        )

    def sessions_by_environment(self, project: str, start_us: int, end_us: int) -> dict[str, dict[str, int]]:
        """How many sessions of each version began in the hours of this span, by environment; under "" those of
        releases that were deleted since."""
        found: dict[str, dict[str, int]] = {}
        standing = {
            id(what)
            for version in {version_of(what) for _, _, what in self.placed(project, None)}
            for _, _, what in self.placed(project, version)
        }
        for environment, began, what in self.placed(project, None):
            if start_us <= began - began % HOUR_US < end_us:
                counts = found.setdefault(environment, {})
                version = version_of(what) if id(what) in standing else ""
                counts[version] = counts.get(version, 0) + (1 if isinstance(what, Session) else sum_of(what))
        return found


def version_of(what: Session | SessionCounts) -> str:
    """The version that it counts as."""
    return what.first.version if isinstance(what, Session) else what.version


def sum_of(counts: SessionCounts) -> int:
    """How many sessions they are."""
    return counts.exited_count + counts.errored_count + counts.abnormal_count + counts.crashed_count
