"""What organizations are charged for: the rows that are there, whatever put them there or took them away
(behaviour.md, Quotas)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from store.access.access import Access
from store.blobs import merging
from store.blobs.check import check_storage
from store.blobs.collector import Collector
from store.blobs.models import DAMAGED, LIVE, Chunk, Content
from store.database import Database
from store.files.change import FileChanges, delete_file, update_file
from store.files.create import create_file
from store.files.rows import FileDraft, FileRow
from store.organizations import drain
from store.organizations.delete import delete_organization, delete_project
from store.organizations.drain import SETTLED_US, drain_deleted_organizations, drain_deleted_projects
from store.organizations.organizations import OrganizationChanges, get_usage, update_organization
from store.quotas.counting import recount
from store.quotas.models import OrganizationUsage
from store.quotas.quota import Quota, Usage
from store.releases import drain as release_drain
from store.releases.delete import delete_release
from store.releases.drain import drain_deleted_releases
from store.uploads.uploads import cancel_upload, purge_uploads
from tests.clocks import ManualClock
from tests.contract.acme import Acme
from tests.contract.callers import OPERATOR, at_once, errors_in
from tests.contract.chunks import Sender, cut, digest, packed, plain
from tests.contract.counting import Sums, assert_counted, counters_of, rows_of
from tests.contract.shelf import Shelf, content_of

KIB, MIB = 2**10, 2**20
GRACE = 3600


@pytest.fixture
def charged(shelf: Shelf) -> Callable[[], Sums]:
    """What the organization is charged for, once that is compared with its rows."""

    def charged() -> Sums:
        assert_counted(shelf.db)
        return counters_of(shelf.db, shelf.acme.id)

    return charged


def usage_of(shelf: Shelf, access: Access | None = None) -> Usage:
    return get_usage(shelf.db, access or shelf.acme.everybody, "acme")[1]


def collect(shelf: Shelf, clock: ManualClock) -> None:
    collector = Collector(shelf.db, shelf.blobs.packs, grace_seconds=GRACE)
    clock.advance(seconds=GRACE + 1)
    collector.cutoff()
    clock.advance(seconds=1)
    collector.collect(confirmed=True)


def remove(shelf: Shelf, file: FileRow) -> None:
    delete_file(shelf.db, shelf.acme.everybody, organization="acme", version=file.version, file_id=file.id)


def test_a_new_organization_has_nothing_and_no_limit(shelf: Shelf) -> None:
    assert usage_of(shelf) == Usage(0, 0, Quota())


def test_a_content_counts_once_however_many_files_hold_it(shelf: Shelf, charged: Callable[[], Sums]) -> None:
    small, large = content_of(5 * KIB), content_of(700 * KIB)
    shelf.upload(small, "small")
    assert charged() == Sums(5 * KIB, 1)
    shelf.upload(large, "large")
    assert charged() == Sums(705 * KIB, 2)
    for content in (small, large):
        shelf.upload(content, f"again-{len(content)}")
        draft = FileDraft(organization="acme", version="app@1.0.0", file_name=f"known-{len(content)}")
        create_file(shelf.db, shelf.acme.everybody, draft, digest(content))
    assert charged() == Sums(705 * KIB, 6)
    assert usage_of(shelf, OPERATOR) == Usage(705 * KIB, 6, Quota())


def test_the_same_file_again_and_a_replaced_one_count_once(shelf: Shelf, charged: Callable[[], Sums]) -> None:
    shelf.upload(content_of(100 * KIB))
    shelf.upload(content_of(100 * KIB))
    assert charged() == Sums(100 * KIB, 1)
    file = shelf.upload(content_of(50 * KIB, seed=1), replace=True).file
    assert charged() == Sums(150 * KIB, 1)
    changes = FileChanges(frozenset({"file_name"}), file_name="other.js")
    renamed: dict[str, Any] = {"organization": "acme", "version": "app@1.0.0", "file_id": file.id, "changes": changes}
    update_file(shelf.db, shelf.acme.everybody, **renamed)
    assert charged() == Sums(150 * KIB, 1)


def test_what_is_deleted_is_charged_until_it_is_collected(
    shelf: Shelf, clock: ManualClock, charged: Callable[[], Sums]
) -> None:
    files = [shelf.upload(content_of(size, seed=size), str(size)).file for size in (KIB, 300 * KIB)]
    shelf.upload(content_of(300 * KIB, seed=300 * KIB), "keeps")
    for file in files:
        remove(shelf, file)
    assert charged() == Sums(301 * KIB, 1)
    collect(shelf, clock)
    assert charged() == Sums(300 * KIB, 1)


def test_a_stream_that_was_cut_and_a_cancelled_upload_are_charged_until_they_are_collected(
    shelf: Shelf, clock: ManualClock, charged: Callable[[], Sums]
) -> None:
    cut_off, cancelled = shelf.draft("cut"), shelf.draft("cancelled")
    for seed, draft in enumerate((cut_off, cancelled)):
        with shelf.open_upload(draft) as upload:
            upload.write(content_of(3 * MIB, seed=seed), offset=0)
    before = charged()
    assert 5 * MIB < before.stored_bytes <= 6 * MIB
    cancel_upload(shelf.db, shelf.acme.everybody, organization="acme", upload_id=cancelled.upload_id)
    assert charged() == before
    clock.advance(seconds=24 * 3600)
    purge_uploads(shelf.db)
    assert charged() == before
    collect(shelf, clock)
    assert charged() == Sums(0, 0)


def test_a_resumed_upload_is_charged_once(shelf: Shelf, charged: Callable[[], Sums]) -> None:
    content, draft = content_of(3 * MIB), shelf.draft()
    with shelf.open_upload(draft) as upload:
        upload.write(content[: 2 * MIB], offset=0)
    assert 0 < charged().stored_bytes < 2 * MIB
    shelf.send(content, draft)
    assert charged() == Sums(3 * MIB, 1)


def test_chunks_are_charged_as_they_are_stored(sender: Sender, charged: Callable[[], Sums]) -> None:
    piece, frame = content_of(64 * KIB), packed(bytes(500_000))
    assert len(frame.data) < KIB
    for _ in range(2):
        sender.send([frame, plain(piece), frame])
        assert charged() == Sums(64 * KIB + len(frame.data), 0)
    sender.assemble([piece, bytes(500_000)])
    assert charged() == Sums(64 * KIB + len(frame.data), 1)
    # A small file lies in its row, and its chunk stays until it is collected.
    sender.send([plain(b"small")])
    sender.assemble([b"small"], upload_id=sender.start("small"))
    assert charged() == Sums(64 * KIB + len(frame.data) + 10, 2)


def test_what_was_found_damaged_is_charged_no_more_until_it_is_mended(
    sender: Sender, charged: Callable[[], Sums]
) -> None:
    shelf, pieces = sender.shelf, cut(content_of(256 * KIB))
    sender.send_plain(pieces)
    sender.assemble(pieces)
    sender.damage(pieces[1])
    check_storage(shelf.db, shelf.blobs.packs, cutoff=0, repair=True)
    assert [row.state for row in shelf.rows(Chunk)].count(DAMAGED) == 1
    assert charged() == Sums(192 * KIB, 1)
    sender.send([packed(pieces[1])])
    assert charged() == Sums(256 * KIB, 1)


def test_damage_that_an_upload_finds_is_mended_and_charged_once(sender: Sender, charged: Callable[[], Sums]) -> None:
    shelf, piece = sender.shelf, bytes(500_000)
    frame = packed(piece)
    sender.send([frame])
    sender.damage(piece)
    sender.send([plain(piece)])
    assert {row.state for row in shelf.rows(Chunk)} == {LIVE}
    assert charged() == Sums(500_000, 0), "as it is stored now"


def test_a_damaged_row_is_mended_and_charged_as_it_then_is(shelf: Shelf, charged: Callable[[], Sums]) -> None:
    content = content_of(KIB)
    shelf.upload(content)
    shelf.damage_inline()
    shelf.db.write(lambda tx: tx.execute(OrganizationUsage.update({OrganizationUsage.stored_bytes: len(b"other")})))
    shelf.upload(content, "other.js")
    assert charged() == Sums(KIB, 2)


def test_what_a_check_takes_back_is_charged_again_whatever_the_quota(
    sender: Sender, charged: Callable[[], Sums]
) -> None:
    shelf = sender.shelf
    sender.send_plain([content_of(64 * KIB)])
    shelf.db.write(lambda tx: tx.execute(Chunk.update({Chunk.state: DAMAGED})))
    shelf.db.write(lambda tx: tx.execute(OrganizationUsage.update({OrganizationUsage.stored_bytes: 0})))
    update_organization(shelf.db, OPERATOR, "acme", OrganizationChanges(quota_stored_bytes=0))
    assert check_storage(shelf.db, shelf.blobs.packs, cutoff=0, repair=True).repaired == 1
    assert charged() == Sums(64 * KIB, 0)


def test_packs_that_are_written_anew_are_charged_as_they_are_packed_then(
    sender: Sender, clock: ManualClock, charged: Callable[[], Sums], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merging, "SMALL_SHARE", 10**9)  # so that this one need not wait for 31 others
    stays = [bytes([number]) * 100_000 for number in range(4)]
    sender.send_plain([*stays, *cut(content_of(MIB))])
    sender.assemble(stays)
    assert charged() == Sums(400_000 + MIB, 1)
    collect(sender.shelf, clock)
    assert 0 < charged().stored_bytes < 4_000


def test_the_drain_of_a_release_takes_its_files_off(
    shelf: Shelf, charged: Callable[[], Sums], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(release_drain, "MOST_ROWS", 3)
    for number in range(7):
        shelf.upload(content_of(10, seed=number), str(number))
    delete_release(shelf.db, OPERATOR, "acme", "app@1.0.0")
    assert charged() == Sums(70, 7)
    drain_deleted_releases(shelf.db)
    assert charged() == Sums(70, 0)


def test_the_drain_of_a_project_takes_the_files_off_that_were_its_own(
    shelf: Shelf, charged: Callable[[], Sums], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drain, "MOST_ROWS", 3)
    for number in range(5):
        shelf.upload(b"web", str(number), project="web")
        shelf.upload(b"all", str(number))
    delete_project(shelf.db, OPERATOR, "acme", "web", force=True)
    drain_deleted_projects(shelf.db)
    assert charged() == Sums(6, 5)


def test_nothing_is_left_of_an_organization_once_it_is_collected(shelf: Shelf, clock: ManualClock) -> None:
    other = Acme(shelf.db, slug="other")
    shelf.upload(content_of(100 * KIB))
    delete_organization(shelf.db, OPERATOR, "acme", force=True)
    clock.advance(seconds=SETTLED_US / 1_000_000)
    drain_deleted_organizations(shelf.db)
    assert counters_of(shelf.db, shelf.acme.id) == rows_of(shelf.db, shelf.acme.id) == Sums(100 * KIB, 0)
    assert check_storage(shelf.db, shelf.blobs.packs, cutoff=0).findings == []
    collect(shelf, clock)
    assert (shelf.rows(OrganizationUsage), shelf.rows(Chunk), shelf.rows(Content)) == ([], [], [])
    assert counters_of(shelf.db, other.id) == Sums(0, 0)


def test_uploads_at_the_same_time_are_charged_once_each(shelf: Shelf, charged: Callable[[], Sums]) -> None:
    same, own = content_of(300 * KIB), 20 * KIB

    def send(number: int) -> None:
        shelf.upload(content_of(own, seed=number + 1), f"own-{number}")
        shelf.upload(same, f"same-{number}")

    assert errors_in(at_once(6, send)) == []
    assert charged() == Sums(300 * KIB + 6 * own, 12)


def test_other_organizations_are_charged_for_the_same_bytes_on_their_own(
    shelf: Shelf, charged: Callable[[], Sums]
) -> None:
    other = Acme(shelf.db, "web", slug="other")
    other.release("app@1.0.0", "web")
    shelf.upload(content_of(100 * KIB))
    shelf.send(content_of(100 * KIB), shelf.draft(organization="other"), access=other.everybody)
    assert charged() == counters_of(shelf.db, other.id) == Sums(100 * KIB, 1)


def test_a_check_tells_of_counters_that_are_wrong_and_a_repair_counts_anew(
    sender: Sender, charged: Callable[[], Sums]
) -> None:
    shelf = sender.shelf
    shelf.upload(content_of(100 * KIB))
    for number in range(20):
        shelf.upload(content_of(10, seed=number), str(number))
    before = charged()
    wrong = {OrganizationUsage.stored_bytes: 7, OrganizationUsage.file_count: OrganizationUsage.file_count + 1}
    shelf.db.write(lambda tx: tx.execute(OrganizationUsage.update(wrong)))
    found = check_storage(shelf.db, shelf.blobs.packs, cutoff=0)
    (finding,) = found.findings
    assert finding.startswith("organization acme is charged for ")
    assert "has 102,600 and 21; a check with repair counts anew" in finding
    assert found.repaired == 0
    mended = check_storage(shelf.db, shelf.blobs.packs, cutoff=0, repair=True)
    assert (mended.repaired, mended.finding_count) == (1, 1)
    assert charged() == before
    assert check_storage(shelf.db, shelf.blobs.packs, cutoff=0).findings == []


def test_a_recount_beside_uploads_loses_nothing(shelf: Shelf, charged: Callable[[], Sums], database: Database) -> None:
    def send(number: int) -> None:
        for part in range(5):
            shelf.upload(content_of(20, seed=100 * number + part), f"{number}-{part}")

    def count() -> None:
        for _ in range(5):
            database.write(partial(recount, organization_id=shelf.acme.id))

    assert errors_in(at_once(5, lambda number: send(number) if number < 3 else count())) == []
    assert charged() == Sums(300, 15)
