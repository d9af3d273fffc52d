"""The authors of commits, got or created by e-mail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from store.commits.models import CommitAuthor
from store.database import Query, Reader, Statement, Transaction, hole, holes_for, new_id, query_shape
from store.database.batches import batches, filled, holes
from store.text import folded_key

_INSERT = Statement(
    CommitAuthor.insert(
        holes_for(
            CommitAuthor.id,
            CommitAuthor.organization_id,
            CommitAuthor.email,
            CommitAuthor.display_name,
            CommitAuthor.folded_email,
            CommitAuthor.folded_name,
        )
    ).on_conflict(action="nothing", conflict_target=[CommitAuthor.organization_id, CommitAuthor.email])
)
_RENAME = Statement(
    CommitAuthor.update(holes_for(CommitAuthor.display_name, CommitAuthor.folded_name)).where(
        CommitAuthor.id == hole(CommitAuthor.id)
    )
)


@query_shape
def _by_email(size: int) -> Query[tuple[str, bytes, str | None]]:
    return Query(
        CommitAuthor.select(CommitAuthor.email, CommitAuthor.id, CommitAuthor.display_name).where(
            CommitAuthor.organization_id == hole(CommitAuthor.organization_id),
            CommitAuthor.email.in_(holes(CommitAuthor.email, size)),
        ),
        row=_author,
    )


@query_shape
def _emails(size: int) -> Query[tuple[bytes, str]]:
    return Query(
        CommitAuthor.select(CommitAuthor.id, CommitAuthor.email).where(
            CommitAuthor.id.in_(holes(CommitAuthor.id, size))
        ),
        row=_email,
    )


def _author(email: str, author_id: bytes, name: str | None) -> tuple[str, bytes, str | None]:
    return email, author_id, name


def _email(author_id: bytes, email: str) -> tuple[bytes, str]:
    return author_id, email


def get_or_create_authors(
    tx: Transaction, organization_id: bytes, authors: Mapping[str, str | None]
) -> dict[str, bytes]:
    """The ids of the authors of these e-mails, missing ones created.

    authors is e-mail (in lower case) to name, in order of e-mail. A name that differs from the stored one replaces it;
    no name (None) leaves it.
    """
    found = _find(tx, organization_id, list(authors))
    missing = [email for email in authors if email not in found]
    tx.run_many(
        _INSERT,
        [
            {
                "id": new_id(),
                "organization_id": organization_id,
                "email": email,
                "display_name": authors[email],
                "folded_email": folded_key(email),
                "folded_name": folded_key(authors[email] or ""),
            }
            for email in missing
        ],
    )
    # Looked up again: another call may have been first with some of them, and then its ids stand.
    found.update(_find(tx, organization_id, missing))
    tx.run_many(
        _RENAME,
        [
            {"id": found[email][0], "display_name": name, "folded_name": folded_key(name)}
            for email, name in authors.items()
            if name is not None and name != found[email][1]
        ],
    )
    return {email: author_id for email, (author_id, _) in found.items()}


def author_emails(reader: Reader, author_ids: Sequence[bytes]) -> dict[bytes, str]:
    """The e-mails of these authors."""
    return {
        author_id: email
        for batch in batches(author_ids)
        for author_id, email in reader.rows(_emails(len(batch)), **filled(batch))
    }


def _find(reader: Reader, organization_id: bytes, emails: Sequence[str]) -> dict[str, tuple[bytes, str | None]]:
    return {
        email: (author_id, name)
        for batch in batches(emails)
        for email, author_id, name in reader.rows(
            _by_email(len(batch)), organization_id=organization_id, **filled(batch)
        )
    }
