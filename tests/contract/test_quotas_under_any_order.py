"""What organizations are charged for is what their rows are, whatever they do, and in whatever order."""

from __future__ import annotations

import random

import pytest

from store.blobs.collector import Collector
from store.errors import QuotaExceeded
from store.files.change import delete_file
from store.files.create import create_file
from store.files.rows import FileDraft, FileRow, UploadedFile
from store.organizations.organizations import OrganizationChanges, update_organization
from tests.clocks import ManualClock
from tests.contract.callers import OPERATOR
from tests.contract.counting import Sums, assert_counted, counters_of
from tests.contract.shelf import Shelf, content_of

KIB = 2**10
STEPS = 100
CONTENTS = [content_of(size, seed=size) for size in (0, 1, 5 * KIB, 16 * KIB, 16 * KIB + 1, 90 * KIB, 300 * KIB)]


class Program:
    """What an organization did, at random."""

    def __init__(self, shelf: Shelf, clock: ManualClock, seed: int) -> None:
        self.shelf = shelf
        self.clock = clock
        self.collector = Collector(shelf.db, shelf.blobs.packs, grace_seconds=3600)
        self.chance = random.Random(seed)
        self.files: list[FileRow] = []
        self.names = 0
        self.refusals = 0
        self.shrank = 0

    def step(self) -> None:
        act = self.chance.choice([*[self.upload] * 4, self.create, *[self.delete] * 2, self.limit, self.collect])
        before = self.charged()
        try:
            act()
        except QuotaExceeded:
            self.refusals += 1
            assert self.charged().file_count == before.file_count, "what was refused made no file"
        assert_counted(self.shelf.db)
        self.shrank += self.charged().stored_bytes < before.stored_bytes

    def charged(self) -> Sums:
        return counters_of(self.shelf.db, self.shelf.acme.id)

    def upload(self) -> None:
        """A content, new or known, under a new name."""
        content = self.chance.choice(CONTENTS)
        self.files.append(self.shelf.upload(content, self.name()).file)

    def create(self) -> None:
        """A file of content that is there."""
        if self.files:
            known = self.chance.choice(self.files)
            draft = FileDraft(organization=self.shelf.acme.slug, version="app@1.0.0", file_name=self.name())
            made: UploadedFile = create_file(self.shelf.db, self.shelf.acme.everybody, draft, known.sha256)
            self.files.append(made.file)

    def delete(self) -> None:
        if self.files:
            file = self.files.pop(self.chance.randrange(len(self.files)))
            delete_file(
                self.shelf.db,
                self.shelf.acme.everybody,
                organization=file.organization,
                version=file.version,
                file_id=file.id,
            )

    def limit(self) -> None:
        """A quota around what is there, or none."""
        stored, count = self.charged()
        changes = OrganizationChanges(
            quota_stored_bytes=max(0, stored + self.chance.choice([-KIB, 0, 20 * KIB, 10**9])),
            quota_file_count=max(0, count + self.chance.choice([-1, 0, 2, 10**6])),
        )
        update_organization(self.shelf.db, OPERATOR, self.shelf.acme.slug, changes)

    def collect(self) -> None:
        """What nothing refers to goes."""
        self.clock.advance(seconds=2 * 3600)
        self.collector.collect()

    def name(self) -> str:
        self.names += 1
        return f"{self.names}.js"


@pytest.mark.parametrize("part", range(3))
def test_the_counters_say_what_is_there_after_every_step(shelf: Shelf, clock: ManualClock, part: int) -> None:
    program = Program(shelf, clock, part)
    for _ in range(STEPS):
        program.step()
    assert program.refusals, "no quota was met"
    assert program.shrank, "nothing was collected"
