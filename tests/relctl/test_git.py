"""What is read out of git is what git itself tells, commit by commit, by other commands than the one under test."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from releaseregistry.v1.annotations_pb2 import rules
from releaseregistry.v1.commits_pb2 import ChangedFile, ChangeType, Commit

from relctl.errors import LocalError
from relctl.git import (
    MAX_EMAIL_CHARS,
    MAX_MESSAGE_CHARS,
    MAX_NAME_CHARS,
    MAX_PATH_CHARS,
    MAX_REPOSITORY_CHARS,
    GitRepository,
    name_of_url,
)
from relctl.history import ReleasedCommit, commits_of_range, commits_since
from tests.relctl.repositories import Repository

RULES: Any = rules  # the generated types know an extension only as a field, not as one of certain options


def read(repository: Repository, start: str | None = None) -> list[Commit]:
    git = GitRepository(repository.folder)
    return git.commits(start, git.head(), repository="acme/web").commits


def files(commit: Commit) -> list[tuple[str, str]]:
    letters = {
        ChangeType.CHANGE_TYPE_ADDED: "A",
        ChangeType.CHANGE_TYPE_DELETED: "D",
        ChangeType.CHANGE_TYPE_MODIFIED: "M",
    }
    return sorted((letters[file.change_type], file.path) for file in commit.changed_files)


def test_a_commit_has_id_repository_author_message_and_committer_date(repository: Repository) -> None:
    repository.write("a.txt")
    commit_id = repository.commit("Subject\n\nBody\nof two lines\n")

    (commit,) = read(repository)

    assert commit.id == commit_id
    assert commit.repository == "acme/web"
    assert (commit.author_name, commit.author_email) == ("Ada Lovelace", "ada@example.com")
    assert commit.message == "Subject\n\nBody\nof two lines\n"
    assert str(commit.commit_time.seconds) == repository.text("show", "--no-patch", "--format=%ct")
    assert str(commit.commit_time.seconds) != repository.text("show", "--no-patch", "--format=%at")


def test_commits_come_newest_first(repository: Repository) -> None:
    ids = [repository.commit(str(number)) for number in range(5)]
    assert [commit.id for commit in read(repository)] == ids[::-1]


def test_added_changed_and_deleted_files_are_told_apart_also_in_the_first_commit(repository: Repository) -> None:
    repository.write("changed")
    repository.write("deleted")
    repository.commit()
    repository.write("changed", "otherwise")
    repository.write("added")
    (repository.folder / "deleted").unlink()
    repository.commit()

    newest, oldest = read(repository)

    assert files(oldest) == [("A", "changed"), ("A", "deleted")]
    assert files(newest) == [("A", "added"), ("D", "deleted"), ("M", "changed")]


def test_a_renamed_file_is_one_deleted_and_one_added_whatever_the_users_settings_say(repository: Repository) -> None:
    repository.write("old", "some content\n" * 20)
    repository.commit()
    repository.git("mv", "old", "new")
    repository.commit()
    repository.git("config", "diff.renames", "copies")
    assert files(read(repository)[0]) == [("A", "new"), ("D", "old")]


def test_a_file_that_became_a_link_or_executable_is_modified(repository: Repository) -> None:
    repository.write("link")
    repository.write("program")
    repository.commit()
    (repository.folder / "link").unlink()
    (repository.folder / "link").symlink_to("program")
    (repository.folder / "program").chmod(0o755)
    repository.commit()
    assert files(read(repository)[0]) == [("M", "link"), ("M", "program")]


def test_a_merge_has_no_changed_files_and_what_it_merged_is_there(repository: Repository) -> None:
    repository.write("base")
    repository.commit()
    repository.git("switch", "--quiet", "--create", "side")
    repository.write("side")
    side = repository.commit("side")
    repository.git("switch", "--quiet", "main")
    repository.write("main")
    repository.commit("main")
    repository.git("merge", "--quiet", "--no-ff", "-m", "merge", "side")

    commits = read(repository)

    assert commits[0].message == "merge\n"
    assert files(commits[0]) == []
    assert files(next(commit for commit in commits if commit.id == side)) == [("A", "side")]


@pytest.mark.parametrize(
    "path",
    [
        "with space",
        "line\nbreak",
        "\nleading break",
        "tab\there",
        'quo"te',
        "back\\slash",
        "ümläut/日本語",
        "-dash",
        "A",
        "M",
        "a" * 40,
        "x/" * 100 + "deep",
    ],
)
def test_any_path_is_read_as_it_is(repository: Repository, path: str) -> None:
    repository.write(path)
    repository.write("beside")
    repository.commit()
    repository.commit("a commit behind it")
    newest, oldest = read(repository)
    assert files(newest) == []
    assert files(oldest) == sorted([("A", path), ("A", "beside")])


def test_a_path_that_is_no_utf8_is_read_with_replacements(repository: Repository) -> None:
    repository.write(b"caf\xe9")
    repository.commit()
    assert files(read(repository)[0]) == [("A", "caf�")]


@pytest.mark.parametrize(
    "message",
    ["", "\n", "\n\nleading lines", "no line end", "\x01\x02 control", "A\nM\nD", "#skipsentry", "a\r\nb\r\n"],
)
def test_any_message_is_read_whole(repository: Repository, message: str) -> None:
    repository.commit("before")
    commit_id = repository.commit(message)
    repository.commit("after")
    raw = repository.git("cat-file", "commit", commit_id).partition(b"\n\n")[2].decode()
    assert read(repository)[1].message == raw


def test_a_message_in_another_encoding_arrives_in_unicode(repository: Repository) -> None:
    repository.git("config", "i18n.commitEncoding", "ISO-8859-1")
    repository.commit("caf\xe9".encode("latin-1"))
    assert read(repository)[0].message.strip() == "café"


def test_a_message_that_is_no_utf8_is_read_with_replacements(repository: Repository) -> None:
    tree = repository.text("write-tree")
    person = "Ada <ada@example.com> 1600000000 +0000"
    raw = f"tree {tree}\nauthor {person}\ncommitter {person}\n\ncaf".encode() + b"\xe9 \xff\n"
    commit_id = repository.git("hash-object", "-t", "commit", "-w", "--stdin", data=raw).decode().strip()
    repository.git("update-ref", "HEAD", commit_id)
    assert read(repository)[0].message == "caf� �\n"


def test_authors_without_name_and_with_any_characters_are_read(repository: Repository) -> None:
    repository.commit("odd", GIT_AUTHOR_NAME='Ünï "Q" O\'Neil, Jr. x', GIT_AUTHOR_EMAIL="A+B@Example.COM")
    repository.git("-c", "user.name=x", "commit", "--quiet", "--allow-empty", "-m", "no e-mail", GIT_AUTHOR_EMAIL="")
    without, odd = read(repository)
    assert (odd.author_name, odd.author_email) == ('Ünï "Q" O\'Neil, Jr. x', "A+B@Example.COM")
    assert (without.author_name, without.author_email) == ("Ada Lovelace", "")


def test_settings_of_the_user_change_nothing(repository: Repository) -> None:
    repository.write("folder/file")
    repository.commit("wörld")
    repository.git("tag", "v1")
    repository.git("notes", "add", "-m", "a note")
    before = read(repository)
    for setting in (
        ("log.showSignature", "true"),
        ("log.showRoot", "false"),
        ("color.ui", "always"),
        ("log.decorate", "full"),
        ("diff.relative", "true"),
        ("core.quotePath", "true"),
        ("format.pretty", "fuller"),
        ("diff.noprefix", "true"),
        ("i18n.logOutputEncoding", "ISO-8859-1"),
        ("core.pager", "false"),
    ):
        repository.git("config", *setting)
    assert read(repository) == before
    below = GitRepository(repository.folder / "folder")
    assert below.commits(None, below.head(), repository="acme/web").commits == before


def test_texts_beyond_the_limits_are_cut_and_counted(repository: Repository) -> None:
    long_path = "/".join(["d" * 100] * 6)
    repository.write(long_path)
    repository.write("short")
    repository.commit("m" * 70_000, GIT_AUTHOR_NAME="n" * 200)

    git = GitRepository(repository.folder)
    found = git.commits(None, git.head(), repository="acme/web")

    (commit,) = found.commits
    assert (len(commit.message), len(commit.author_name)) == (65_536, 128)
    assert files(commit) == [("A", "short")]
    assert (found.texts_cut, found.paths_left_out) == (2, 1)


def test_at_most_the_newest_so_many_are_read(repository: Repository) -> None:
    ids = [repository.commit(str(number)) for number in range(5)]
    git = GitRepository(repository.folder)
    commits = git.commits(None, git.head(), repository="acme/web", max_count=2).commits
    assert [commit.id for commit in commits] == [ids[4], ids[3]]


def test_since_a_released_commit_only_what_it_does_not_reach_is_taken(repository: Repository) -> None:
    first = repository.commit("first")
    repository.git("switch", "--quiet", "--create", "side", first)
    side = repository.commit("side")
    repository.git("switch", "--quiet", "main")
    released = repository.commit("released")
    repository.git("merge", "--quiet", "--no-ff", "-m", "merge", "side")
    git = GitRepository(repository.folder)
    found = commits_since(git, ReleasedCommit(version="app@1", commit_id=released), repository="acme/web")
    assert {commit.id for commit in found.commits} == {side, git.head()}


def test_without_a_released_commit_everything_is_taken(repository: Repository) -> None:
    ids = {repository.commit(str(number)) for number in range(30)}
    found = commits_since(GitRepository(repository.folder), None, repository="acme/web")
    assert {commit.id for commit in found.commits} == ids


def test_a_released_commit_at_head_leaves_none(repository: Repository) -> None:
    head = repository.commit()
    released = ReleasedCommit(version="app@1", commit_id=head)
    assert commits_since(GitRepository(repository.folder), released, repository="acme/web").commits == []


def test_a_range_is_named_by_any_revisions(repository: Repository) -> None:
    repository.commit("one")
    repository.git("tag", "v1", "-m", "annotated")
    second = repository.commit("two")
    found = commits_of_range(GitRepository(repository.folder), "v1", "HEAD", repository="acme/web")
    assert [commit.id for commit in found.commits] == [second]


@pytest.mark.parametrize("revision", ["nothing", "--all", "HEAD:file", ""])
def test_a_revision_that_is_no_commit_is_refused(repository: Repository, revision: str) -> None:
    repository.write("file")
    repository.commit()
    with pytest.raises(LocalError, match="git knows no commit"):
        commits_of_range(GitRepository(repository.folder), revision, "HEAD", repository="acme/web")


def test_a_released_commit_that_is_not_in_the_clone_is_an_error(repository: Repository) -> None:
    repository.commit()
    released = ReleasedCommit(version="app@1", commit_id="f" * 40)
    with pytest.raises(LocalError, match=r"last commit of app@1, is not in this clone; run `git fetch --all`"):
        commits_since(GitRepository(repository.folder), released, repository="acme/web")


def test_a_history_without_a_common_commit_is_an_error(repository: Repository) -> None:
    released = ReleasedCommit(version="app@1", commit_id=repository.commit())
    repository.git("switch", "--quiet", "--orphan", "other")
    repository.commit("unrelated")
    with pytest.raises(LocalError, match="no history in common"):
        commits_since(GitRepository(repository.folder), released, repository="acme/web")


def shallow_clone(repository: Repository, folder: Path, depth: int) -> Repository:
    repository.git("clone", "--quiet", f"--depth={depth}", f"file://{repository.folder}", os.fsencode(folder))
    return Repository(folder)


def test_a_shallow_clone_never_passes_for_the_whole_history(repository: Repository, tmp_path: Path) -> None:
    ids = [repository.commit(str(number)) for number in range(5)]
    clone = shallow_clone(repository, tmp_path / "clone", depth=2)
    git = GitRepository(clone.folder)
    with pytest.raises(LocalError, match="shallow clone"):
        commits_since(git, None, repository="acme/web")
    with pytest.raises(LocalError, match="git fetch --unshallow"):
        commits_since(git, ReleasedCommit(version="app@1", commit_id=ids[0]), repository="acme/web")


def test_a_shallow_clone_is_good_for_the_commits_that_it_holds(repository: Repository, tmp_path: Path) -> None:
    ids = [repository.commit(str(number)) for number in range(5)]
    clone = shallow_clone(repository, tmp_path / "clone", depth=3)
    released = ReleasedCommit(version="app@1", commit_id=ids[2])
    found = commits_since(GitRepository(clone.folder), released, repository="acme/web")
    assert [commit.id for commit in found.commits] == [ids[4], ids[3]]


def test_a_repository_without_a_commit_is_an_error(repository: Repository) -> None:
    with pytest.raises(LocalError, match="no commit yet"):
        GitRepository(repository.folder).head()


def test_a_folder_outside_of_git_is_an_error_in_gits_words(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match="not a git repository"):
        GitRepository(tmp_path)


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match="no folder"):
        GitRepository(tmp_path / "missing")


def test_a_machine_without_git_is_an_error(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LocalError, match="git is not installed"):
        GitRepository(repository.folder)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("git@github.com:acme/web.git", "acme/web"),
        ("https://github.com/acme/web.git", "acme/web"),
        ("https://user:secret@github.com/acme/web", "acme/web"),
        ("https://gitlab.example.com/group/sub/web/", "group/sub/web"),
        ("ssh://git@github.com:22/acme/web.git", "acme/web"),
        ("git://host/acme/web.git", "acme/web"),
        ("host:web", "web"),
        ("/srv/git/web.git", "web"),
        ("/home/ada/web/.git", "web"),
        ("../web", "web"),
        ("file:///srv/git/web.git", "web"),
        ("..", ""),
    ],
)
def test_a_repository_is_named_by_the_path_of_its_url(url: str, name: str) -> None:
    assert name_of_url(url) == name


def test_the_followed_remote_names_the_repository_before_origin(repository: Repository) -> None:
    repository.commit()
    repository.git("remote", "add", "origin", "git@example.com:ada/web.git")
    repository.git("remote", "add", "upstream", "git@example.com:acme/web.git")
    git = GitRepository(repository.folder)
    assert git.name() == "ada/web"
    assert git.name("upstream") == "acme/web"
    repository.git("config", "branch.main.remote", "upstream")
    assert git.name() == "acme/web"


def test_the_only_remote_names_the_repository(repository: Repository) -> None:
    repository.git("remote", "add", "github", "git@example.com:acme/web.git")
    assert GitRepository(repository.folder).name() == "acme/web"


def test_a_repository_without_a_clear_remote_asks_for_its_name(repository: Repository) -> None:
    git = GitRepository(repository.folder)
    with pytest.raises(LocalError, match="no remote; say --repository"):
        git.name()
    repository.git("remote", "add", "one", "git@example.com:acme/one.git")
    repository.git("remote", "add", "two", "git@example.com:acme/two.git")
    with pytest.raises(LocalError, match="remotes one, two; say --repository"):
        git.name()


def test_the_limits_that_texts_are_cut_to_are_those_of_the_contract() -> None:
    def limit(message: type[Commit | ChangedFile], field: str) -> object:
        return message.DESCRIPTOR.fields_by_name[field].GetOptions().Extensions[RULES].max_chars

    assert limit(Commit, "message") == MAX_MESSAGE_CHARS
    assert limit(Commit, "author_name") == MAX_NAME_CHARS
    assert limit(Commit, "author_email") == MAX_EMAIL_CHARS
    assert limit(Commit, "repository") == MAX_REPOSITORY_CHARS
    assert limit(ChangedFile, "path") == MAX_PATH_CHARS
