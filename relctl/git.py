"""The commits of a git repository, read with one `git log`.

What is sent is what `git log --no-renames --name-status` shows: a renamed file is one deleted and one added, and a
merge has no changed files. The time of a commit is its committer date, because that orders a history as `git log` does:
after a rebase a commit's author date lies before commits that are older in the history. Text that is no UTF-8 arrives
with U+FFFD in place of what cannot be read.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final
from urllib.parse import urlsplit

from releaseregistry.v1.commits_pb2 import ChangedFile, ChangeType, Commit

from relctl.errors import LocalError

# The limits of the contract (the table in annotations.proto).
MAX_COMMITS: Final = 100_000
MAX_NAME_CHARS: Final = 128
MAX_EMAIL_CHARS: Final = 255
MAX_MESSAGE_CHARS: Final = 65_536
MAX_PATH_CHARS: Final = 510
MAX_REPOSITORY_CHARS: Final = 200

READ_BYTES: Final = 1 << 20

# A NUL before every commit: neither a status nor a path is ever empty, so the empty piece begins the next commit.
LOG_FORMAT: Final = "%x00%H%x00%an%x00%ae%x00%ct%x00%B%x00"
LOG_FIELDS: Final = 5

# Settings of the user that would change what `git log` answers.
PLAIN_SETTINGS: Final = (
    "log.showSignature=false",
    "log.showRoot=true",
    "log.follow=false",
    "diff.relative=false",
    "diff.ignoreSubmodules=none",
)

CHANGE_TYPES: Final = {"A": ChangeType.CHANGE_TYPE_ADDED, "D": ChangeType.CHANGE_TYPE_DELETED}


@dataclass(slots=True)
class GitCommits:
    """The commits that were read, newest first, and how many values had to be cut to the limits of the contract."""

    commits: list[Commit] = field(default_factory=list)
    texts_cut: int = 0
    paths_left_out: int = 0


class GitRepository:
    """The git repository that a folder is in.

    Every method raises LocalError with git's own words when git fails, and when git is not there.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise LocalError(f"there is no folder {folder}")
        self._folder = folder
        self._git("rev-parse", "--git-dir")

    def name(self, remote: str | None = None) -> str:
        """The repository's name for commits, from the URL of a remote: `owner/name`.

        The remote is the given one, else the one that the branch follows, else `origin`, else the only one. Raises
        LocalError when that names none.
        """
        remotes = self._git("remote").split()
        chosen = remote or self._default_remote(remotes)
        if chosen is None:
            found = f"it has the remotes {', '.join(remotes)}" if remotes else "it has no remote"
            raise LocalError(f"the name of this git repository is not clear: {found}; say --repository OWNER/NAME")
        name = name_of_url(self._git("remote", "get-url", "--", chosen).strip())
        if not name or len(name) > MAX_REPOSITORY_CHARS or not name.isprintable():
            raise LocalError(f"the URL of the remote {chosen} gives no name; say --repository OWNER/NAME")
        return name

    def resolve(self, revision: str) -> str | None:
        """The id of the commit that a revision names; None when there is none."""
        finished = self._run("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
        return finished.stdout.decode("ascii", "replace").strip() if finished.returncode == 0 else None

    def head(self) -> str:
        """The id of the commit that is checked out. Raises LocalError when the branch has none yet."""
        head = self.resolve("HEAD")
        if head is None:
            raise LocalError("this git repository has no commit yet")
        return head

    def has_common_history(self, one: str, other: str) -> bool:
        """Whether two commits have a common ancestor here."""
        return self._run("merge-base", "--end-of-options", one, other).returncode == 0

    def is_shallow(self) -> bool:
        """Whether older history was cut off when the repository was cloned."""
        return bool(self._shallow_commits())

    def commits(self, start: str | None, end: str, *, repository: str, max_count: int = MAX_COMMITS) -> GitCommits:
        """Read the commits reachable from `end` and not from `start` (None: all), the newest `max_count` of them.

        Both are commit ids. Raises LocalError when the history in between was cut off by a shallow clone.
        """
        cut_off = self._shallow_commits()
        answer = GitCommits()
        revisions = [end] if start is None else [end, f"^{start}"]
        for record in self._log(revisions, max_count):
            if record.id in cut_off:
                raise LocalError(
                    "this is a shallow clone, and its history ends within the commits asked for; "
                    "run `git fetch --unshallow`, or clone with the whole history"
                )
            answer.commits.append(_to_commit(record, repository, answer))
        return answer

    def _default_remote(self, remotes: list[str]) -> str | None:
        branch = self._run("symbolic-ref", "--quiet", "--short", "HEAD").stdout.decode("utf-8", "replace").strip()
        if branch:
            followed = self._run("config", "--get", f"branch.{branch}.remote").stdout.decode("utf-8", "replace").strip()
            if followed in remotes:
                return followed
        if "origin" in remotes:
            return "origin"
        return remotes[0] if len(remotes) == 1 else None

    def _shallow_commits(self) -> frozenset[str]:
        # `rev-parse --is-shallow-repository` says only that there are some.
        path = Path(self._folder, self._git("rev-parse", "--git-path", "shallow").rstrip("\n"))
        try:
            return frozenset(path.read_text(encoding="ascii").split())
        except FileNotFoundError:
            return frozenset()
        except (OSError, UnicodeDecodeError) as error:
            raise LocalError(f"cannot read {path}: {error}") from None

    def _log(self, revisions: list[str], max_count: int) -> Iterator[LogRecord]:
        command = ["git", "--no-pager"]
        for setting in PLAIN_SETTINGS:
            command += ["-c", setting]
        command += ["log", "-z", "--no-color", "--no-notes", "--no-renames", "--name-status", "--encoding=UTF-8"]
        command += [f"--format={LOG_FORMAT}", f"--max-count={max_count}", *revisions, "--"]
        # Errors go to a file: a pipe that nobody reads while the other one is read would stop git when it is full.
        with tempfile.TemporaryFile() as complaints:
            with _started(command, self._folder, complaints) as process:
                assert process.stdout is not None
                yield from parse_log(_pieces(process.stdout))
            if process.returncode != 0:
                complaints.seek(0)
                raise LocalError(f"git log failed: {_last_line(complaints.read())}")

    def _git(self, *arguments: str) -> str:
        finished = self._run(*arguments)
        if finished.returncode != 0:
            raise LocalError(f"git {arguments[0]} failed: {_last_line(finished.stderr)}")
        return finished.stdout.decode("utf-8", "replace")

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        try:
            return subprocess.run(["git", *arguments], cwd=self._folder, capture_output=True, check=False)
        except FileNotFoundError:
            raise LocalError("git is not installed, or not in PATH") from None


@dataclass(frozen=True, slots=True)
class LogRecord:
    """A commit as `git log` tells it. The time is in seconds since 1970; files are pairs of status letter and path."""

    id: str
    author_name: str
    author_email: str
    seconds: int | None
    message: str
    files: tuple[tuple[str, str], ...]


def parse_log(pieces: Iterator[bytes]) -> Iterator[LogRecord]:
    """The commits in the NUL-separated pieces of a `git log` with LOG_FORMAT. Raises LocalError when they are none."""
    piece = next(pieces, None)
    while piece is not None:
        if piece:
            raise LocalError("the answer of git log could not be understood")
        fields = [_text(next(pieces, b"")) for _ in range(LOG_FIELDS)]
        commit_id, author_name, author_email, seconds, message = fields
        # The end of the format itself is terminated too, which leaves an empty piece behind it.
        if not commit_id or next(pieces, b"") != b"":
            raise LocalError("the answer of git log could not be understood")
        files: list[tuple[str, str]] = []
        piece = next(pieces, None)
        while piece:
            status = _text(piece).lstrip("\n")
            path = next(pieces, b"")
            if len(status) != 1 or not path:
                raise LocalError("the answer of git log could not be understood")
            files.append((status, _text(path)))
            piece = next(pieces, None)
        time = int(seconds) if seconds.isdigit() else None
        yield LogRecord(commit_id, author_name, author_email, time, message, tuple(files))


def name_of_url(url: str) -> str:
    """The repository's name in the URL of a remote: its path without `.git`; of a local folder its last part."""
    local = "://" not in url and (":" not in url or "/" in url.partition(":")[0])
    if local or url.startswith("file:"):
        parts = [part for part in url.replace("\\", "/").split("/") if part not in {"", ".git", "."}]
        return parts[-1].removesuffix(".git") if parts and parts[-1] != ".." else ""
    path = urlsplit(url).path if "://" in url else url.partition(":")[2]
    return path.strip("/").removesuffix(".git").strip("/")


def _to_commit(record: LogRecord, repository: str, answer: GitCommits) -> Commit:
    def cut(text: str, limit: int) -> str:
        if len(text) <= limit:
            return text
        answer.texts_cut += 1
        return text[:limit]

    commit = Commit(
        id=record.id,
        repository=repository,
        author_name=cut(record.author_name, MAX_NAME_CHARS),
        author_email=cut(record.author_email, MAX_EMAIL_CHARS),
        message=cut(record.message, MAX_MESSAGE_CHARS),
    )
    if record.seconds is not None:
        commit.commit_time.FromSeconds(record.seconds)
    for status, path in record.files:
        if len(path) > MAX_PATH_CHARS:
            answer.paths_left_out += 1
            continue
        change_type = CHANGE_TYPES.get(status, ChangeType.CHANGE_TYPE_MODIFIED)
        commit.changed_files.append(ChangedFile(path=path, change_type=change_type))
    return commit


def _started(command: list[str], folder: Path, complaints: IO[bytes]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=complaints)
    except FileNotFoundError:
        raise LocalError("git is not installed, or not in PATH") from None


def _pieces(stream: IO[bytes]) -> Iterator[bytes]:
    """What stands between the NULs; every piece ends with one, so nothing follows the last."""
    rest = b""
    while block := stream.read(READ_BYTES):
        pieces = (rest + block).split(b"\0")
        rest = pieces.pop()
        yield from pieces
    if rest:
        yield rest


def _text(piece: bytes) -> str:
    return piece.decode("utf-8", "replace")


def _last_line(complaint: bytes) -> str:
    lines = [line for line in _text(complaint).splitlines() if line.strip() and not line.startswith("hint:")]
    return lines[-1].removeprefix("fatal: ") if lines else "git said nothing"
