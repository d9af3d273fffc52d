"""Quotas: what they refuse, when, and that nothing gets by them (behaviour.md, Quotas)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from store.activity.models import Activity
from store.blobs.models import Chunk, Content
from store.database import Database, Terms
from store.database.engine import QueryEvent
from store.errors import QuotaExceeded, ScopeMissing
from store.files.change import delete_file
from store.files.create import create_file
from store.files.models import ReleaseFile
from store.files.rows import FileDraft, UploadedFile
from store.organizations.details import OrganizationDetails
from store.organizations.organizations import (
    CLEARED,
    OrganizationChanges,
    OrganizationDraft,
    create_organization,
    get_organization,
    get_usage,
    update_organization,
)
from store.quotas.models import OrganizationUsage
from store.quotas.quota import NO_QUOTA, Quota
from store.quotas.streams import StreamQuotas
from store.quotas.usage import set_default_quota
from store.uploads.models import OPEN, Upload
from tests.contract.acme import Acme
from tests.contract.callers import OPERATOR, at_once, errors_in, half_done, second
from tests.contract.chunks import Sender, cut, digest, packed, plain
from tests.contract.counting import Sums, assert_counted, counters_of
from tests.contract.shelf import Shelf, content_of

KIB, MIB = 2**10, 2**20


def limit(db: Database, slug: str = "acme", **quota: int) -> OrganizationDetails:
    changes: dict[str, Any] = {f"quota_{name}": value for name, value in quota.items()}
    changed: OrganizationDetails = update_organization(db, OPERATOR, slug, OrganizationChanges(**changes))
    return changed


def exceeded(error: Exception) -> tuple[str, int, int]:
    """The quota, its limit, and what was used."""
    assert isinstance(error, QuotaExceeded), error
    assert error.reason == "QUOTA_EXCEEDED"
    return error.metadata["quota"], int(error.metadata["limit"]), int(error.metadata["used"])


def refused(shelf: Shelf, content: bytes, file_name: str = "more.js", **fields: Any) -> tuple[str, int, int]:
    with pytest.raises(QuotaExceeded) as error:
        shelf.upload(content, file_name, **fields)
    assert_counted(shelf.db)
    return exceeded(error.value)


# ----------------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize("size", [5 * KIB, 300 * KIB])
def test_the_last_byte_fits_and_one_more_does_not(shelf: Shelf, size: int) -> None:
    limit(shelf.db, stored_bytes=2 * size)
    shelf.upload(content_of(size), "first")
    assert refused(shelf, content_of(size + 1, seed=1)) == ("stored_bytes", 2 * size, size)
    shelf.upload(content_of(size, seed=2), "second")
    assert counters_of(shelf.db, shelf.acme.id) == Sums(2 * size, 2)


def test_what_was_refused_left_nothing_but_an_upload_to_go_on_with(shelf: Shelf) -> None:
    limit(shelf.db, stored_bytes=300 * KIB)
    refused(shelf, content_of(16 * KIB + 300 * KIB))
    assert [model for model in (Chunk, Content, ReleaseFile) if shelf.rows(model)] == []
    assert [row.state for row in shelf.rows(Upload)] == [OPEN]
    assert (shelf.packs(), shelf.unfinished(), shelf.file_count()) == ([], [], 0)


def test_as_many_files_as_the_quota_says_and_no_more(shelf: Shelf) -> None:
    limit(shelf.db, file_count=2)
    for name in ("one", "two"):
        shelf.upload(b"the same", name)
    assert refused(shelf, b"the same", "three") == ("file_count", 2, 2)
    draft = FileDraft(organization="acme", version="app@1.0.0", file_name="three")
    with pytest.raises(QuotaExceeded) as error:
        create_file(shelf.db, shelf.acme.everybody, draft, digest(b"the same"))
    assert exceeded(error.value) == ("file_count", 2, 2)
    assert shelf.names() == ["one", "two"]


def test_what_adds_nothing_is_never_refused(shelf: Shelf) -> None:
    content = content_of(300 * KIB)
    shelf.upload(content, "one")
    shelf.upload(b"", "two")
    limit(shelf.db, stored_bytes=10, file_count=2)
    draft = FileDraft(organization="acme", version="app@1.0.0", file_name="two", replace=True)
    replaced: UploadedFile = create_file(shelf.db, shelf.acme.everybody, draft, digest(content))
    assert replaced.created
    assert not shelf.upload(content, "one", sha256=digest(content)).created
    assert refused(shelf, b"", "three") == ("file_count", 2, 2)
    file = shelf.upload(content, "two", replace=True, sha256=digest(content)).file
    delete_file(shelf.db, shelf.acme.everybody, organization="acme", version="app@1.0.0", file_id=file.id)
    shelf.upload(b"", "three", size_bytes=0)
    assert shelf.names() == ["one", "three"]


def test_a_rehearsal_meets_the_quota(shelf: Shelf) -> None:
    shelf.upload(b"known", "one")
    limit(shelf.db, file_count=1)
    draft = FileDraft(organization="acme", version="app@1.0.0", file_name="two")
    with pytest.raises(QuotaExceeded):
        create_file(shelf.db, shelf.acme.everybody, draft, digest(b"known"), Terms(validate_only=True))


def test_chunks_are_refused_in_groups(sender: Sender) -> None:
    pieces = cut(content_of(256 * KIB))
    limit(sender.shelf.db, stored_bytes=200 * KIB)
    sender.send_plain(pieces[:2])
    with pytest.raises(QuotaExceeded) as error:
        sender.send_plain(pieces)
    assert exceeded(error.value) == ("stored_bytes", 200 * KIB, 128 * KIB)
    assert len(sender.missing(pieces)) == 2
    assert len(sender.shelf.packs()) == 1, "what was refused lies nowhere"
    sender.send([*[plain(piece) for piece in pieces[:3]], packed(bytes(10 * KIB))])
    with pytest.raises(QuotaExceeded):  # a small file lies in its row, unpacked
        sender.assemble([bytes(10 * KIB)])
    assert_counted(sender.shelf.db)


def test_a_file_of_chunks_needs_room_for_a_file_only(sender: Sender) -> None:
    pieces = cut(content_of(256 * KIB))
    sender.send_plain(pieces)
    limit(sender.shelf.db, stored_bytes=0, file_count=1)
    with pytest.raises(QuotaExceeded):
        sender.start()
    limit(sender.shelf.db, stored_bytes=256 * KIB + 1, file_count=1)
    upload_id, other = sender.start("one"), sender.start("two")
    assert sender.assemble(pieces, upload_id=upload_id).created
    with pytest.raises(QuotaExceeded) as error:
        sender.assemble(pieces, upload_id=other)
    assert exceeded(error.value) == ("file_count", 1, 1)


# -------------------------------------------------------------------------------------- at the start, and in the middle


def test_with_a_quota_used_up_nothing_begins(sender: Sender) -> None:
    shelf = sender.shelf
    shelf.upload(content_of(300 * KIB), "one")
    limit(shelf.db, stored_bytes=300 * KIB)
    used_up = ("stored_bytes", 300 * KIB, 300 * KIB)
    for begin in (
        lambda: shelf.open_upload(shelf.draft("two")),
        lambda: sender.start("two"),
        lambda: sender.send([]),
    ):
        with pytest.raises(QuotaExceeded) as error:
            begin()
        assert exceeded(error.value) == used_up
    assert len(shelf.rows(Upload)) == 1


def test_a_large_file_may_begin_since_nobody_knows_what_of_it_is_there_already(shelf: Shelf) -> None:
    content = content_of(3 * MIB)
    shelf.upload(content, "one")
    limit(shelf.db, stored_bytes=4 * MIB)
    assert shelf.upload(content + b"more", "two", size_bytes=3 * MIB + 4).created


def test_an_upload_that_meets_the_quota_goes_on_when_there_is_room(shelf: Shelf) -> None:
    content, draft = content_of(40 * MIB), shelf.draft("large")
    limit(shelf.db, stored_bytes=36 * MIB)
    with pytest.raises(QuotaExceeded) as error:
        shelf.send(content, draft)
    name, most, used = exceeded(error.value)
    assert (name, most) == ("stored_bytes", 36 * MIB)
    assert 30 * MIB < used <= 33 * MIB
    assert counters_of(shelf.db, shelf.acme.id) == Sums(used, 0)
    with pytest.raises(QuotaExceeded):
        shelf.send(content, draft)
    assert_counted(shelf.db)
    limit(shelf.db, stored_bytes=40 * MIB)
    with shelf.open_upload(draft) as upload:
        start = upload.committed_bytes
        assert start == used
        upload.write(content[start:], offset=start)
        file = upload.finish(size_bytes=len(content), sha256=digest(content)).file
    assert shelf.download(file) == content
    assert counters_of(shelf.db, shelf.acme.id) == Sums(40 * MIB, 1)


def test_an_upload_whose_last_group_used_the_quota_up_is_finished(shelf: Shelf) -> None:
    content, draft = content_of(2 * MIB), shelf.draft()
    with shelf.open_upload(draft) as upload:
        upload.write(content, offset=0)
    used = counters_of(shelf.db, shelf.acme.id).stored_bytes
    limit(shelf.db, stored_bytes=used)
    with shelf.open_upload(draft) as upload:
        assert upload.committed_bytes == used


# ------------------------------------------------------------------------------------------------- several at a time


@pytest.mark.parametrize("by", ["own", "default"])
def test_of_uploads_at_the_same_time_as_many_get_in_as_there_is_room_for(shelf: Shelf, by: str) -> None:
    size, room = 20 * KIB, 4
    if by == "own":
        limit(shelf.db, stored_bytes=room * size + size - 1)
    else:
        set_default_quota(shelf.db, Quota(stored_bytes=room * size + size - 1))
    for number in range(8):
        shelf.acme.release(f"app@2.0.{number}", "web")

    def send(number: int) -> None:
        shelf.upload(content_of(size, seed=number), version=f"app@2.0.{number}")

    errors = errors_in(at_once(8, send))
    assert {exceeded(error)[:2] for error in errors} == {("stored_bytes", room * size + size - 1)}
    assert len(errors) == 8 - room
    assert counters_of(shelf.db, shelf.acme.id) == Sums(room * size, room)
    assert_counted(shelf.db)


def test_a_quota_that_is_set_holds_for_whoever_commits_afterwards(shelf: Shelf) -> None:
    shelf.acme.release("app@2.0.0", "web")
    with ThreadPoolExecutor(2) as threads:
        with half_done(shelf.db, 'INSERT INTO "organization_usage"', lambda: shelf.upload(b"first", "first")) as first:
            setting = second(shelf.db, threads, lambda: limit(shelf.db, stored_bytes=5))
        first.result()
        setting.result()
    assert refused(shelf, b"x", version="app@2.0.0") == ("stored_bytes", 5, 5)


def test_other_organizations_are_not_concerned(shelf: Shelf) -> None:
    other = Acme(shelf.db, "web", slug="other")
    other.release("app@1.0.0", "web")
    limit(shelf.db, stored_bytes=0, file_count=0)
    shelf.send(content_of(100), shelf.draft(organization="other"), access=other.everybody)
    assert refused(shelf, b"x") == ("file_count", 0, 0)


# ------------------------------------------------------------------------------------------------------ setting quotas


def test_a_quota_is_set_told_changed_and_cleared(shelf: Shelf) -> None:
    set_default_quota(shelf.db, Quota(stored_bytes=1000, stream_count=3))
    changed = limit(shelf.db, stored_bytes=7, file_count=8)
    assert changed.quota == Quota(7, 8, None)
    assert get_organization(shelf.db, shelf.acme.everybody, "acme") == changed
    assert get_usage(shelf.db, shelf.acme.everybody, "acme")[1].quota == Quota(7, 8, 3)
    assert limit(shelf.db, stored_bytes=CLEARED).quota == Quota(None, 8, None)
    assert get_usage(shelf.db, shelf.acme.everybody, "acme")[1].quota == Quota(1000, 8, 3)
    assert limit(shelf.db, file_count=CLEARED).quota == NO_QUOTA
    assert {row.is_limited for row in shelf.rows(OrganizationUsage)} == {False}
    told = [dict(activity) for activity in _told(shelf)]
    assert told[0] == {"quota_stored_bytes": [None, 7], "quota_file_count": [None, 8]}
    assert told[1] == {"quota_stored_bytes": [7, None]}


def _told(shelf: Shelf) -> list[dict[str, Any]]:
    query = Activity.select().where(Activity.kind == "organization_changed").order_by(Activity.id)
    return [row.data for row in shelf.db.read(lambda reader: reader.fetch(query))]


def test_an_organization_is_created_with_its_quota(database: Database) -> None:
    draft = OrganizationDraft("acme", quota_stored_bytes=5, quota_stream_count=0)
    made: OrganizationDetails = create_organization(database, draft)
    assert made.quota == Quota(5, None, 0)
    assert StreamQuotas(database)(made.id) == 0


def test_only_the_installation_sets_quotas(shelf: Shelf) -> None:
    limit(shelf.db, stored_bytes=7)
    operator = replace(OPERATOR, scopes=OPERATOR.scopes - {"installation:admin"})
    for access in (shelf.acme.everybody, operator):
        for name, value in (("stored_bytes", 8), ("stored_bytes", CLEARED), ("stream_count", 1)):
            changes: dict[str, Any] = {"display_name": "A", f"quota_{name}": value}
            with pytest.raises(ScopeMissing) as error:
                update_organization(shelf.db, access, "acme", OrganizationChanges(**changes))
            assert error.value.metadata == {"scope": "installation:admin"}
        same = OrganizationChanges(join_requests=True, quota_stored_bytes=7, quota_file_count=CLEARED)
        changed: OrganizationDetails = update_organization(shelf.db, access, "acme", same)
        assert (changed.join_requests, changed.quota, changed.display_name) == (True, Quota(7), "acme")


def test_where_no_quota_is_set_nothing_is_read_or_locked(shelf: Shelf) -> None:
    def statements(file_name: str) -> list[str]:
        seen: list[QueryEvent] = []
        shelf.db.hooks.append(seen.append)
        shelf.upload(file_name.encode(), file_name)
        shelf.db.hooks.clear()
        return [event.sql.split()[0] for event in seen if '"organization_usage"' in event.sql]

    assert statements("free") == ["INSERT"]
    limit(shelf.db, stream_count=1)
    assert statements("free still") == ["INSERT"]
    limit(shelf.db, stored_bytes=MIB)
    assert statements("limited") == ["SELECT", "INSERT", "INSERT", "SELECT"]
    limit(shelf.db, stored_bytes=CLEARED)
    assert statements("free again") == ["INSERT"]


# ------------------------------------------------------------------------------------------------------------- streams


def test_a_stream_quota_is_remembered_for_seconds_and_seen_at_once_where_one_process_writes(database: Database) -> None:
    acme = Acme(database)
    now = 0.0
    quotas = StreamQuotas(database, clock=lambda: now)
    assert quotas(acme.id) is None
    set_default_quota(database, Quota(stream_count=4))
    assert quotas(acme.id) == 4
    limit(database, stream_count=2)
    assert quotas(acme.id) == (2 if database.engine == "sqlite" else 4)
    now = 5.0
    assert quotas(acme.id) == 2
    seen: list[QueryEvent] = []
    database.hooks.append(seen.append)
    assert [quotas(acme.id) for _ in range(3)] == [2, 2, 2]
    assert seen == []
