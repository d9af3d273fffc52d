"""`relctl release set-commits`: from git, or from a file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import click
from google.protobuf.json_format import ParseDict, ParseError
from releaseregistry.v1.commits_pb2 import Commit
from releaseregistry.v1.releases_pb2 import Release

from relctl.cli.application import Application, note
from relctl.cli.options import Leaf, pass_application
from relctl.cli.text import counted
from relctl.errors import LocalError
from relctl.git import MAX_COMMITS, GitCommits, GitRepository
from relctl.history import commits_of_range, commits_since, last_released


@click.command("set-commits", cls=Leaf)
@click.argument("version")
@click.option("--auto", is_flag=True, help="Those of HEAD since the previous release's last commit; without one, all.")
@click.option("--range", "range_", metavar="FROM..TO", help="Those that TO reaches and FROM does not; TO alone: all.")
@click.option(
    "--file", "source", type=click.File("rb"), help="Those in a file, as `relctl commits --files --json` prints them."
)
@click.option("--clear", is_flag=True, help="None: detach all commits.")
@click.option("--append", is_flag=True, help="Add them to those that the release has, in their places by time.")
@click.option("--git", "folder", type=click.Path(path_type=Path), default=".", help="The git repository. [default: .]")
@click.option("--repository", metavar="OWNER/NAME", help="Its name. [default: from the URL of its remote]")
@click.option("--remote", metavar="NAME", help="The remote to take the name of. [default: the followed one, or origin]")
@click.option(
    "--max-count",
    type=click.IntRange(1, MAX_COMMITS),
    default=MAX_COMMITS,
    metavar="N",
    help=f"Only the newest N. [default: {MAX_COMMITS}]",
)
@pass_application
def set_commits(
    application: Application,
    version: str,
    auto: bool,
    range_: str | None,
    source: BinaryIO | None,
    clear: bool,
    append: bool,
    folder: Path,
    repository: str | None,
    remote: str | None,
    max_count: int,
) -> None:
    r"""Set the commits of a release: they replace those it has, or with --append join them.

    Authors, messages, committer dates and changed files come from `git log --no-renames`; a merge has no changed files.
    When --auto or --range finds no commit, the release is left as it is. Commits whose message contains #skipsentry are
    left out by the server.

    \b
    Examples:
      relctl release set-commits app@1.1.0 --auto
      relctl release set-commits app@1.1.0 --range v1.0.0..v1.1.0
      relctl release set-commits app@1.1.0 --file commits.json
      relctl release set-commits app@1.1.0 --range v1.0.0..v1.1.0 --append
    """
    if sum([auto, range_ is not None, source is not None, clear]) != 1:
        raise click.UsageError("say one of --auto, --range, --file, --clear")
    if clear and append:
        raise click.UsageError("--clear and --append contradict each other")
    bounds = _bounds(range_)
    commits: Sequence[Commit] = ()
    if source is not None:
        commits = read_commits(source.read())
        if not commits:
            raise LocalError("the file holds no commit; --clear detaches all commits")
    elif not clear:
        git = GitRepository(folder)
        name = repository or git.name(remote)
        if bounds is not None:
            found = commits_of_range(git, *bounds, repository=name, max_count=max_count)
        else:
            found = _since_previous(application, version, git, name, max_count)
        _tell_what_was_cut(found, max_count)
        commits = found.commits
        if not commits:
            note(f"no new commits in {name}: {version} is left as it is")
            if application.json:
                application.show(application.client.releases.get(application.organization, version), ())
            return
    answer = application.client.releases.set_commits(application.organization, version, commits, append=append)
    if application.json:
        application.show(answer, ())
    else:
        application.say(_summary(answer, len(commits)))


def read_commits(data: bytes) -> list[Commit]:
    """The commits in JSON: a list of them, or one after another. Raises LocalError when it is something else."""
    try:
        text = data.decode("utf-8")
        values = []
        at = _skip_space(text, 0)
        while at < len(text):
            value, at = json.JSONDecoder().raw_decode(text, at)
            values += value if isinstance(value, list) else [value]
            at = _skip_space(text, at)
        if not all(isinstance(value, dict) for value in values):
            raise ValueError('a commit is an object, such as {"id": "4f1c2d"}')
        return [ParseDict(value, Commit()) for value in values]
    except UnicodeDecodeError:
        raise LocalError("the file does not hold commits in JSON: it is not UTF-8") from None
    except (ParseError, ValueError, AttributeError, TypeError) as error:
        raise LocalError(f"the file does not hold commits in JSON: {error}") from None


def _bounds(text: str | None) -> tuple[str | None, str] | None:
    if text is None:
        return None
    start, separator, end = text.partition("..")
    if not separator and start:
        return None, start
    if not (start and end) or ".." in end or end.startswith("."):
        raise click.UsageError(f"{text!r} is no range; write FROM..TO, such as v1.0.0..HEAD, or TO alone")
    return start, end


def _skip_space(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at


def _since_previous(
    application: Application, version: str, git: GitRepository, repository: str, max_count: int
) -> GitCommits:
    releases = application.client.releases
    released = last_released(releases, application.organization, version, repository=repository)
    if released is None:
        note(f"no earlier release has commits of {repository}: taking all that HEAD reaches")
    else:
        note(f"taking the commits of {repository} since {released.commit_id[:12]}, the last of {released.version}")
    return commits_since(git, released, repository=repository, max_count=max_count)


def _tell_what_was_cut(found: GitCommits, max_count: int) -> None:
    if len(found.commits) == max_count:
        note(f"only the newest {max_count:,} commits are taken (--max-count)")
    if found.texts_cut:
        note(f"{found.texts_cut:,} names or messages are cut to what the server takes")
    if found.paths_left_out:
        note(f"{found.paths_left_out:,} changed files are left out: their paths are longer than the server takes")


def _summary(release: Release, sent: int) -> str:
    commits, authors = counted(release.commit_count, "commit"), counted(release.author_count, "author")
    text = f"release {release.version} has {commits} by {authors}"
    return text if sent == release.commit_count else f"{text}; {sent:,} were sent"
