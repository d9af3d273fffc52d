"""A month of sessions of three releases in two environments, made up and sent; then look at them with relctl.

    python examples/month_of_sessions.py

The story: `shop@2.4.0` runs everywhere. `shop@2.5.0` comes to staging, two days later to production, and crashes there
far too often. `shop@2.5.1`, the hotfix, takes its place within two days. Some users never update.

Server, token and organization are said as to relctl: by flags, RELCTL_SERVER, RELCTL_TOKEN and RELCTL_ORG, or not at
all on the server's machine. The same seed tells the same story, with other session ids on another day; what is sent
twice counts once.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from releaseregistry.v1.sessions_pb2 import RecordedSessions, SessionStatus, SessionUpdate
from rich.console import Console
from rich.progress import Progress

from relctl import Client, LocalError, RegistryError, ReleaseDraft, connect
from relctl.cli.configuration import Configuration
from relctl.deploys import DeployDraft
from relctl.names import project_name

DAYS: Final = 30
PRODUCTION: Final = "production"
STAGING: Final = "staging"
STAGING_SHARE: Final = 0.1
MEDIAN_MINUTES: Final = 4.0
ABNORMAL_RATE: Final = 0.004
ERROR_RATE: Final = 0.03
# How busy each hour of the day is, of UTC: few at night, most in the evening.
HOURS: Final = (3, 2, 1, 1, 1, 2, 4, 7, 9, 10, 10, 10, 11, 11, 10, 10, 11, 12, 14, 15, 14, 11, 8, 5)


@dataclass(frozen=True, slots=True)
class Story:
    """A release: on which day of the month it came where, how long users took to follow, and how often it crashes."""

    version: str
    staging_day: float
    production_day: float
    follow_days: float
    crash_rate: float

    def day(self, environment: str) -> float:
        """When it came there; before the month where that is negative."""
        return self.staging_day if environment == STAGING else self.production_day


STORIES: Final = (
    Story("shop@2.4.0", staging_day=-9, production_day=-7, follow_days=4, crash_rate=0.006),
    Story("shop@2.5.0", staging_day=10.4, production_day=12.6, follow_days=4, crash_rate=0.09),
    Story("shop@2.5.1", staging_day=18.3, production_day=18.6, follow_days=2, crash_rate=0.003),
)
NEVER_FOLLOW: Final = 0.05
"""The share of users who stay with the release that they have, whatever comes."""


@dataclass(frozen=True, slots=True)
class Month:
    """The sessions of the days before `end`; walked again it is the same."""

    organization: str
    project: str
    seed: int
    sessions_a_day: int
    end: datetime

    @property
    def start(self) -> datetime:
        """The first day of the month, at midnight UTC: today is its last one."""
        today = self.end.replace(hour=0, minute=0, second=0, microsecond=0)
        return today - timedelta(days=DAYS - 1)

    def time_of(self, day: float) -> datetime:
        """A time of the month, by its day from 0 on."""
        return self.start + timedelta(days=day)

    def __iter__(self) -> Iterator[SessionUpdate]:
        """Two updates of each session, in the order in which they began: that it runs, and how it ended."""
        chance = random.Random(f"{self.seed} {self.start:%Y-%m-%d}")
        # Each user is as quick as ever to follow, whichever release comes.
        paces = [chance.random() for _ in range(self.sessions_a_day)]
        for day in range(DAYS):
            # Fewer at weekends.
            busy = 0.7 if self.time_of(day).weekday() >= 5 else 1.0
            moments = sorted(self._moment(chance, day) for _ in range(round(self.sessions_a_day * busy)))
            for moment in moments:
                # Drawn in any case, so that the rest of the day is the same at whatever hour the month ends.
                user = chance.randrange(len(paces))
                session = self._session(chance, moment, user=user, pace=paces[user])
                yield from (update for update, told in session if told <= self.end)

    def _moment(self, chance: random.Random, day: int) -> datetime:
        (hour,) = chance.choices(range(24), weights=HOURS)
        return self.time_of(day) + timedelta(hours=hour, seconds=chance.uniform(0, 3600))

    def _session(
        self, chance: random.Random, moment: datetime, *, user: int, pace: float
    ) -> Iterator[tuple[SessionUpdate, datetime]]:
        """The updates of a session, and when each is told."""
        environment = STAGING if chance.random() < STAGING_SHARE else PRODUCTION
        story = self._release_of(pace, moment, environment)
        lasted = timedelta(minutes=chance.lognormvariate(math.log(MEDIAN_MINUTES), 0.9))
        fate, errors = chance.random(), 0
        if fate < story.crash_rate:
            status = SessionStatus.SESSION_STATUS_CRASHED
        elif fate < story.crash_rate + ABNORMAL_RATE:
            status = SessionStatus.SESSION_STATUS_ABNORMAL
        else:
            status = SessionStatus.SESSION_STATUS_EXITED
            errors = chance.randint(1, 4) if fate > 1 - ERROR_RATE else 0
        update = SessionUpdate(
            session_id=str(uuid.UUID(int=chance.getrandbits(128), version=4)),
            distinct_user_id=f"user-{user}",
            status=SessionStatus.SESSION_STATUS_OK,
            start_time=_timestamp(moment),
            version=story.version,
            environment=environment,
            project=project_name(self.organization, self.project),
        )
        yield update, moment
        end = SessionUpdate(sequence=1, status=status, error_count=errors)
        end.duration.CopyFrom(_duration(lasted))
        whole = SessionUpdate()
        whole.CopyFrom(update)
        whole.MergeFrom(end)
        yield whole, moment + lasted

    def _release_of(self, pace: float, moment: datetime, environment: str) -> Story:
        """What a user of that pace (0 to 1) runs: the newest release that came there and was followed to by then."""
        day = (moment - self.start) / timedelta(days=1)
        running = STORIES[0]
        for story in STORIES[1:]:
            follows = environment == STAGING or pace >= NEVER_FOLLOW
            wait = 0 if environment == STAGING else story.follow_days * (1 - pace)
            if follows and day >= story.day(environment) + wait:
                running = story
        return running


def _timestamp(moment: datetime) -> Timestamp:
    timestamp = Timestamp()
    timestamp.FromDatetime(moment)
    return timestamp


def _duration(length: timedelta) -> Duration:
    duration = Duration()
    duration.FromTimedelta(length)
    return duration


def set_up(client: Client, month: Month) -> None:
    """Make what is not there yet: organization, project, releases, and the deploys that brought them."""
    organizations = client.organizations
    try:
        organizations.get(month.organization)
    except RegistryError as error:
        if error.reason != "ORGANIZATION_NOT_FOUND":
            raise
        organizations.create(month.organization)
    try:
        organizations.get_project(month.organization, month.project)
    except RegistryError as error:
        if error.reason != "PROJECT_NOT_FOUND":
            raise
        organizations.create_project(month.organization, month.project)
    for story in STORIES:
        draft = ReleaseDraft(
            version=story.version,
            projects=[month.project],
            ref=f"v{story.version.partition('@')[2]}",
            release_time=month.time_of(story.production_day),
        )
        client.releases.create(month.organization, draft)
        if any(client.deploys.list(month.organization, story.version, limit=1)):
            continue
        for environment in (STAGING, PRODUCTION):
            deploy = DeployDraft(environments=[environment], finish_time=month.time_of(story.day(environment)))
            client.deploys.create(month.organization, story.version, deploy)


def send(client: Client, month: Month) -> RecordedSessions:
    """Send the month in one stream, with a bar on a terminal."""
    busiest = 2 * month.sessions_a_day * DAYS
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("sending sessions", total=busiest)
        return client.health.stream_sessions(
            month.organization, month, progress=lambda sent: progress.update(task, completed=sent)
        )


def main() -> int:
    """Make the month, send it, and tell how to look at it."""
    arguments = _arguments()
    settings = Configuration(server=arguments.server, token=arguments.token)
    try:
        with connect(settings.address(), token=settings.secret(), transport=settings.transport()) as client:
            month = Month(
                organization=arguments.org,
                project=arguments.project,
                seed=arguments.seed,
                sessions_a_day=arguments.sessions_a_day,
                end=datetime.now(UTC),
            )
            set_up(client, month)
            recorded = send(client, month)
    except (RegistryError, LocalError) as error:
        print(f"month_of_sessions: {error}", file=sys.stderr)
        return 1
    for item in recorded.refused:
        print(f"refused: {item.field}: {item.description} ({item.reason})", file=sys.stderr)
    print(
        f"{recorded.recorded_count:,} updates of sessions recorded, {recorded.known_count:,} known before, "
        f"{recorded.refused_count:,} refused. Now look at them:"
    )
    first, bad, hotfix = (story.version for story in STORIES)
    of = "" if os.environ.get("RELCTL_ORG") == month.organization else f" --org {month.organization}"
    for command in (
        f"health {bad} --period 30d",
        f"health {hotfix} --period 24h --environment {PRODUCTION}",
        f"health {first} --environment {STAGING} --period 30d --no-plot",
        f"adoption {hotfix}",
        f"release list --project {month.project} --flatten --health --sort crash-free-sessions --summary-period 30d",
    ):
        print(f"  relctl {command}{of}")
    return 1 if recorded.refused_count else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Send a made-up month of sessions of three releases.")
    parser.add_argument("--server", default=os.environ.get("RELCTL_SERVER"), help="host:port [127.0.0.1:50051]")
    parser.add_argument("--token", default=os.environ.get("RELCTL_TOKEN"), help="[the operator's, on this machine]")
    parser.add_argument("--org", default=os.environ.get("RELCTL_ORG", "acme"), help="made when missing [acme]")
    parser.add_argument("--project", default="shop", help="made when missing [shop]")
    parser.add_argument("--sessions-a-day", type=_positive, default=1000, metavar="N", help="[1000]")
    parser.add_argument("--seed", type=int, default=1, help="another seed tells of other sessions [1]")
    return parser.parse_args()


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError("must be a whole number above 0")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
