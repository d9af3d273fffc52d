"""Clients that tell of sessions by chance: in order and out of it, twice, late, against themselves, and wrongly."""

from __future__ import annotations

import random
import uuid
from dataclasses import dataclass, field

from store.health.items import SessionCounts, SessionUpdate
from store.health.windows import DAY_US, HOUR_US
from tests.health.model import Limits

VERSIONS = ("app@1.0.0", "app@2.0.0+7", "1.2.3", "no/version")
"""The last is fit for no release."""
ENVIRONMENTS = ("production", "staging", "")
USERS = tuple(f"user-{number}" for number in range(40))
MINUTE_US = 60_000_000


@dataclass
class Batch:
    """What one call says."""

    updates: list[SessionUpdate]
    counts: list[SessionCounts]


@dataclass
class Clients:
    """All clients of an organization, who know what they said before."""

    projects: tuple[str, ...]
    limits: Limits
    said: list[Batch] = field(default_factory=list)
    _recent: list[SessionUpdate] = field(default_factory=list)

    def batch(self, chance: random.Random, now_us: int) -> Batch:
        """What nobody said before."""
        began = [update for update in self._recent if now_us - update.start_time < self.limits.session_days * DAY_US]
        self._recent = began[-200:]
        updates = [self._update(chance, now_us) for _ in range(chance.choice((0, 5, 20, 60)))]
        counts = [self._counts(chance, now_us) for _ in range(chance.choice((0, 0, 1, 4)))]
        batch = Batch(updates, counts)
        self.said.append(batch)
        return batch

    def fresh(self, chance: random.Random, now_us: int) -> Batch:
        """Sessions of the last hours, nearly all of one version in one environment, mostly the same."""
        project, environment = self.projects[chance.random() < 0.2], ENVIRONMENTS[chance.random() < 0.2]
        versions = (chance.choice(VERSIONS[:2]),) * 12 + VERSIONS
        updates = [
            self._new(chance, now_us - chance.randrange(3 * HOUR_US))._replace(
                project=project, environment=environment, version=chance.choice(versions)
            )
            for _ in range(chance.choice((1, 5, 25)))
        ]
        batch = Batch(updates, [])
        self.said.append(batch)
        return batch

    def crowd(self, chance: random.Random, now_us: int) -> Batch:
        """Many users within some days, each with a session that ends."""
        project, version = chance.choice(self.projects), chance.choice(VERSIONS)
        updates = [
            self._new(chance, self._start(chance, now_us))._replace(
                project=project, version=version, user=f"one-of-many-{chance.randrange(2000)}"
            )
            for _ in range(chance.choice((200, 600)))
        ]
        batch = Batch(updates, [])
        self.said.append(batch)
        return batch

    def again(self, chance: random.Random) -> Batch:
        """What somebody said before, or parts of it, in any order."""
        batches = [chance.choice(self.said) for _ in range(chance.randrange(1, 4)) if self.said]
        updates = [update for batch in batches for update in batch.updates]
        counts = [told for batch in batches for told in batch.counts]
        kept = chance.choice((0.3, 0.9, 1.0))
        return Batch(
            chance.sample(updates, round(kept * len(updates))), chance.sample(counts, round(kept * len(counts)))
        )

    def _update(self, chance: random.Random, now_us: int) -> SessionUpdate:
        if self._recent and chance.random() < 0.6:
            told = self._more(chance, chance.choice(self._recent), now_us)
        else:
            told = self._new(chance, self._start(chance, now_us))
            self._recent.append(told)
        return self._wrong(chance, told, now_us) if chance.random() < 0.04 else told

    def _new(self, chance: random.Random, start_us: int) -> SessionUpdate:
        return SessionUpdate(
            session_id=_new_id(chance),
            user=self._user(chance),
            sequence=chance.randrange(5),
            status=_status(chance),
            error_count=chance.choice((0, 0, 0, 1, 7)),
            start_time=start_us,
            duration=_duration(chance),
            version=chance.choice(VERSIONS),
            environment=chance.choice(ENVIRONMENTS),
            project=chance.choice(self.projects),
        )

    def _more(self, chance: random.Random, update: SessionUpdate, now_us: int) -> SessionUpdate:
        """Another update of its session, which may say the opposite of it."""
        told = update._replace(
            sequence=chance.randrange(5),
            status=_status(chance),
            error_count=chance.choice((0, 0, 0, 1, 7)),
            duration=_duration(chance),
        )
        if chance.random() < 0.2:
            told = told._replace(user=self._user(chance))
        if chance.random() < 0.1:
            told = told._replace(version=chance.choice(VERSIONS), environment=chance.choice(ENVIRONMENTS))
        if chance.random() < 0.1:
            other = update.start_time + chance.randrange(-11 * HOUR_US, 11 * HOUR_US)
            told = told._replace(start_time=min(other, now_us))
        return told

    def _counts(self, chance: random.Random, now_us: int) -> SessionCounts:
        many = (0, 0, 1, 3, 1000)
        return SessionCounts(
            counts_id=_new_id(chance),
            start_time=self._start(chance, now_us),
            exited_count=chance.choice(many),
            errored_count=chance.choice(many),
            abnormal_count=chance.choice(many),
            crashed_count=chance.choice(many),
            user=self._user(chance),
            version=chance.choice(VERSIONS),
            environment=chance.choice(ENVIRONMENTS),
            project=chance.choice(self.projects),
        )

    def _wrong(self, chance: random.Random, update: SessionUpdate, now_us: int) -> SessionUpdate:
        early, late = now_us - self.limits.session_days * DAY_US, now_us + HOUR_US
        return chance.choice(
            (
                update._replace(start_time=early - 1),
                update._replace(start_time=late + 1, session_id=_new_id(chance)),  # which is right an hour later
                update._replace(project="nowhere"),
            )
        )

    def _start(self, chance: random.Random, now_us: int) -> int:
        most = self.limits.session_days * DAY_US
        spans = (0, 2 * HOUR_US, 7 * HOUR_US, DAY_US, min(7 * DAY_US, most), most)
        if chance.random() < 0.1:  # the limits themselves, and the edges of hours and days
            hour = now_us - now_us % HOUR_US
            day = now_us - now_us % DAY_US
            return chance.choice((now_us - most, now_us + HOUR_US, hour, hour - 1, day, day - 1))
        return now_us - chance.randrange(chance.choice(spans) + 1)

    def _user(self, chance: random.Random) -> str:
        return chance.choice(USERS) if chance.random() < 0.9 else ""


def _new_id(chance: random.Random) -> bytes:
    return uuid.UUID(int=chance.getrandbits(128), version=4).bytes


def _status(chance: random.Random) -> int:
    return int(chance.choice((1, 1, 2, 2, 2, 3, 4)))


def _duration(chance: random.Random) -> int | None:
    return chance.choice((None, 0, chance.randrange(10_000_000), chance.randrange(40_000_000_000)))
