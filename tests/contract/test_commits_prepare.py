"""What a list of commits comes to before any database is asked. Rules: behaviour.md, Commits."""

from __future__ import annotations

import pytest

from store.commits.drafts import ADDED, DELETED, MODIFIED, CommitDraft
from store.commits.prepare import PreparedCommits, author_email, fallback_repository, prepare_commits


def prepared(*commits: CommitDraft) -> PreparedCommits:
    return prepare_commits(commits, fallback_repository="organization-1")


def keys(*commits: CommitDraft) -> list[str]:
    return [commit.key for commit in prepared(*commits).commits]


def test_the_newest_commit_comes_first() -> None:
    assert keys(
        CommitDraft("old", commit_time=1), CommitDraft("new", commit_time=3), CommitDraft("mid", commit_time=2)
    ) == [
        "new",
        "mid",
        "old",
    ]


def test_commits_of_one_time_keep_the_order_they_were_sent_in() -> None:
    assert keys(*(CommitDraft(key, commit_time=5) for key in "cab")) == ["c", "a", "b"]


def test_without_times_the_first_sent_is_the_newest() -> None:
    assert keys(CommitDraft("c"), CommitDraft("a"), CommitDraft("b")) == ["c", "a", "b"]


def test_a_commit_without_a_time_is_older_than_any_that_has_one() -> None:
    before_1970 = CommitDraft("dated", commit_time=-(2**62))
    assert keys(CommitDraft("undated"), before_1970) == ["dated", "undated"]


def test_a_commit_marked_skipsentry_is_left_out_with_its_author_and_repository() -> None:
    skipped = CommitDraft("a", "skipped/repository", author_email="skipped@example.com", message="wip #skipsentry")
    result = prepared(skipped, CommitDraft("b", "kept", message="#skip sentry"))
    assert [commit.key for commit in result.commits] == ["b"]
    assert result.repositories == ("kept",)
    assert result.authors == {}


def test_one_commit_sent_twice_is_one_at_its_newest_place_with_all_its_files() -> None:
    result = prepared(
        CommitDraft("a", "r", commit_time=1, message="older words", changed_files={"x": ADDED, "y": ADDED}),
        CommitDraft("b", "r", commit_time=2),
        CommitDraft("a", "r", commit_time=3, author_name="Ann", changed_files={"x": DELETED, "z": MODIFIED}),
    )
    assert [commit.key for commit in result.commits] == ["a", "b"]
    first = result.commits[0]
    assert first.commit_time == 3
    assert first.message == "older words"
    assert (first.author_name, first.author_email) == ("Ann", "ann@localhost")
    assert first.files == {"x": DELETED, "y": ADDED, "z": MODIFIED}


def test_the_same_id_in_two_repositories_is_two_commits() -> None:
    assert len(prepared(CommitDraft("a", "one"), CommitDraft("a", "two")).commits) == 2


def test_a_commit_without_repository_belongs_to_the_fallback() -> None:
    result = prepared(CommitDraft("a"), CommitDraft("b", "  "), CommitDraft("c", "named"))
    assert [commit.repository for commit in result.commits] == ["organization-1", "organization-1", "named"]
    assert result.repositories == ("named", "organization-1")


def test_the_fallback_repository_carries_the_organizations_uid() -> None:
    assert fallback_repository(bytes(range(16))) == "organization-00010203-0405-0607-0809-0a0b0c0d0e0f"


@pytest.mark.parametrize(
    "name, email, expected",
    [
        ("Ann", "Ann@Example.COM", "ann@example.com"),
        (None, "x" * 255, "x" * 255),
        (None, "[weird]@x", "[weird]@x"),
        ("Ann Lee-Smith_2 (QA).", None, "annlee-smith_2qa.@localhost"),
        ("Ann", "  ", "ann@localhost"),
        ("Jürgen Groß", None, "jürgengroß@localhost"),
        ("Ann", " Ann@Example.com\n", "ann@example.com"),
        (None, "\u00a0 x@y", "x@y"),
        ("!?", None, None),
        ("-._", "  ", None),
        ("!?", "ann@x", "ann@x"),
        ("\u674e", None, "\u674e@localhost"),
        ("N" * 128, None, "n" * 128 + "@localhost"),
        (" ", None, None),
        (None, None, None),
    ],
)
def test_an_author_is_known_by_e_mail_or_by_one_made_of_the_name(
    name: str | None, email: str | None, expected: str | None
) -> None:
    assert author_email(name, email) == expected


def test_blanks_around_an_address_make_no_other_author() -> None:
    result = prepared(
        CommitDraft("a", author_name="Ann", author_email="ann@example.com "),
        CommitDraft("b", author_name="Ann", author_email="ann@example.com"),
    )
    assert result.authors == {"ann@example.com": "Ann"}


def test_a_name_of_symbols_alone_is_shown_with_its_commit_and_is_no_author() -> None:
    result = prepared(CommitDraft("a", author_name="!?"))
    assert [(commit.author_name, commit.author_email) for commit in result.commits] == [("!?", None)]
    assert result.authors == {}


def test_an_author_has_the_name_that_the_newest_commit_says() -> None:
    result = prepared(
        CommitDraft("a", commit_time=1, author_name="Old Name", author_email="ann@example.com"),
        CommitDraft("b", commit_time=2, author_name="New Name", author_email="ANN@example.com"),
        CommitDraft("c", commit_time=3, author_email="ann@example.com"),
    )
    assert result.authors == {"ann@example.com": "New Name"}


def test_a_commit_has_the_name_that_it_says_itself() -> None:
    result = prepared(
        CommitDraft("a", author_name="Old Name", author_email="ann@example.com"),
        CommitDraft("b", author_name="New Name", author_email="ann@example.com"),
        CommitDraft("c", author_name="  ", author_email="ann@example.com"),
        CommitDraft("d", author_email="ann@example.com"),
        CommitDraft("e", author_name="Ann"),
    )
    assert [commit.author_name for commit in result.commits] == ["Old Name", "New Name", None, None, "Ann"]


def test_repositories_and_authors_come_in_order() -> None:
    result = prepared(*(CommitDraft(key, key, author_email=f"{key}@x") for key in "cab"))
    assert result.repositories == ("a", "b", "c")
    assert list(result.authors) == ["a@x", "b@x", "c@x"]
