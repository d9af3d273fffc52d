"""Sessions of the releases of a data set, written as the store keeps what they come to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

from hypothesis import strategies as st
from peewee import Model

from store.database import Database, Statement, Transaction, holes_for, new_id
from store.health.models import HealthDay, HealthHour, HealthSeries
from store.health.sketches import Users
from store.health.windows import day_of, hour_of
from tests.search.dataset import Dataset
from tests.search.evaluator import MINUTE, Release
from tests.search.strategies import DAY, ENVIRONMENTS, NOW

Session: TypeAlias = dict[str, Any]
"""One of a release (by the number of its dict), a project, an environment, at a time, of a user (None: nobody knows),
that crashed or did not."""

USERS = (None, 1, 2, 3)


@st.composite
def sessions_of(draw: st.DrawFn, releases: Sequence[Release], *, max_size: int = 24) -> list[Session]:
    """Sessions of these releases, most of them in the last two weeks."""
    pairs = [(release["id"], project) for release in releases for project in release["projects"]]
    if not pairs:
        return []
    times = st.one_of(
        st.integers(0, 30 * 60).map(lambda minutes: NOW - minutes * MINUTE),
        st.integers(0, 16).map(lambda days: NOW - days * DAY),
        st.integers(0, 100).map(lambda days: NOW - days * DAY),
    )
    one = st.fixed_dictionaries(
        {
            "pair": st.sampled_from(pairs),
            "environment": st.sampled_from(("", *ENVIRONMENTS[:2])),
            "time": times,
            "user": st.sampled_from(USERS),
            "crashed": st.booleans(),
        }
    )
    return draw(st.lists(one, max_size=max_size))


def write_sessions(
    db: Database, data: Dataset, sessions: Iterable[Session], *, linked: bool = True, days_until: int = day_of(NOW)
) -> None:
    """Writes what the sessions come to, for each release and for all together: hours, and days before `days_until`;
    `linked`, with the ids of the releases."""
    versions = {release["id"]: release["version"] for release in data.releases}
    groups: dict[tuple[int | None, str, str], list[Session]] = {}
    for session in sessions:
        number, project = session["pair"]
        for each in (number, None):
            groups.setdefault((each, project, session["environment"]), []).append(session)
    rows: dict[type[Model], list[dict[str, Any]]] = {HealthSeries: [], HealthHour: [], HealthDay: []}
    for (number, project, environment), some in groups.items():
        times = [session["time"] for session in some]
        series_id = new_id()
        rows[HealthSeries].append(
            {
                "id": series_id,
                "project_id": data.projects[project],
                "version": "" if number is None else versions[number],
                "environment": environment,
                "organization_id": data.organization_id,
                "release_id": data.ids[number] if linked and number is not None else None,
                "first_time": min(times),
                "last_time": max(times),
                "days_until": days_until,
            }
        )
        rows[HealthHour] += _rolled(series_id, some, [hour_of(time) for time in times])
        early = [session for session in some if session["time"] < days_until]
        rows[HealthDay] += _rolled(series_id, early, [day_of(session["time"]) for session in early])

    def write(tx: Transaction) -> None:
        for model, written in rows.items():
            if written:
                tx.run_many(Statement(model.insert(holes_for(*model._meta.sorted_fields))), written)

    db.write(write)


def _rolled(series_id: bytes, sessions: Sequence[Session], starts: Sequence[int]) -> list[dict[str, Any]]:
    groups: dict[int, list[Session]] = {}
    for session, start in zip(sessions, starts, strict=True):
        groups.setdefault(start, []).append(session)
    return [
        {
            "series_id": series_id,
            "start_time": start,
            "session_count": len(some),
            "crashed_count": sum(session["crashed"] for session in some),
            "abnormal_count": 0,
            "errored_count": 0,
            "error_count": 0,
            "users": _sketch(session["user"] for session in some),
            "crashed_users": _sketch(session["user"] for session in some if session["crashed"]),
            "durations": None,
        }
        for start, some in groups.items()
    ]


def _sketch(users: Iterable[int | None]) -> bytes | None:
    sketch = Users.of(None)
    sketch.add(user for user in users if user is not None)
    return sketch.data()
