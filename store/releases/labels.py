"""The labels of releases: what callers want to know them by, key to value (behaviour.md, Labels)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from store.database import Query, Reader, Statement, Transaction, hole, holes_for, query_shape
from store.database.batches import batches, filled, holes
from store.errors import InvalidField
from store.releases.models import ReleaseLabel
from store.releases.rows import ReleaseRow

MAX_LABELS: Final = 64
"""The most labels of one release."""

MAX_KEY_CHARACTERS: Final = 64
MAX_VALUE_CHARACTERS: Final = 200

Labels = Mapping[str, str]

# Keys of a call that is refused may be longer than those that are kept.
_SHOWN_CHARACTERS: Final = 40

_OF_RELEASE: Final = (ReleaseLabel.release_id == hole(ReleaseLabel.release_id)) & (
    ReleaseLabel.key == hole(ReleaseLabel.key)
)
_SET: Final = Statement(
    ReleaseLabel.insert(
        holes_for(ReleaseLabel.release_id, ReleaseLabel.key, ReleaseLabel.value, ReleaseLabel.organization_id)
    ).on_conflict(
        action="update",
        conflict_target=[ReleaseLabel.release_id, ReleaseLabel.key],
        preserve=[ReleaseLabel.value],
    )
)
_REMOVE: Final = Statement(ReleaseLabel.delete().where(_OF_RELEASE))


@query_shape
def _labels_of_many(count: int) -> Query[tuple[bytes, str, str]]:
    return Query(
        ReleaseLabel.select(ReleaseLabel.release_id, ReleaseLabel.key, ReleaseLabel.value)
        .where(ReleaseLabel.release_id.in_(holes(ReleaseLabel.release_id, count)))
        .order_by(ReleaseLabel.release_id, ReleaseLabel.key)
    )


def check_labels(labels: Labels, *, field: str) -> None:
    """Return when a release may have these labels. Raises `InvalidField` with the path of the first that is wrong.

    That keys and values are single lines is a rule of the fields that they come in.
    """
    if len(labels) > MAX_LABELS:
        raise InvalidField(field, f"has {len(labels)} labels, and at most {MAX_LABELS} are allowed")
    for key, value in labels.items():
        place = f"{field}[{json.dumps(key[:_SHOWN_CHARACTERS], ensure_ascii=False)}]"
        check_key(key, field=place)
        _check(value, MAX_VALUE_CHARACTERS, what="value", field=place)


def check_key(key: str, *, field: str) -> None:
    """Return when a label may be called so. Raises `InvalidField`."""
    _check(key, MAX_KEY_CHARACTERS, what="key", field=field)


def _check(text: str, most: int, *, what: str, field: str) -> None:
    if not text:
        raise InvalidField(field, f"has an empty {what}")
    if len(text) > most:
        raise InvalidField(field, f"has a {what} of {len(text)} characters, and at most {most} are allowed")
    if text != text.strip():
        raise InvalidField(field, f"has a {what} that begins or ends with a space")


def labels_of(reader: Reader, release_ids: Iterable[bytes]) -> dict[bytes, dict[str, str]]:
    """The labels of each of the releases, by key; of releases without labels nothing."""
    found: dict[bytes, dict[str, str]] = {}
    for batch in batches(sorted(release_ids)):
        for release_id, key, value in reader.rows(_labels_of_many(len(batch)), **filled(batch)):
            found.setdefault(release_id, {})[key] = value
    return found


def labels_of_releases(reader: Reader, releases: Sequence[ReleaseRow]) -> dict[bytes, dict[str, str]]:
    """The same; no query where no release has any."""
    labelled = [release.id for release in releases if release.label_count]
    return labels_of(reader, labelled) if labelled else {}


def put_labels(tx: Transaction, organization_id: bytes, changes: Mapping[bytes, tuple[Labels, Labels]]) -> None:
    """Give releases other labels: by release what it has, and what it is to have. Only rows that differ are written.

    The caller holds the releases locked and sets their label_count.
    """
    removed: list[dict[str, bytes | str]] = []
    put: list[dict[str, bytes | str]] = []
    for release_id, (old, new) in sorted(changes.items()):
        removed.extend({"release_id": release_id, "key": key} for key in sorted(old.keys() - new.keys()))
        put.extend(
            {"release_id": release_id, "key": key, "value": value, "organization_id": organization_id}
            for key, value in sorted(new.items())
            if old.get(key) != value
        )
    tx.run_many(_REMOVE, removed)
    tx.run_many(_SET, put)
