"""`relctl release bulk`: changing all releases that a query finds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, Final, TypeVar

import click
from releaseregistry.v1.releases_pb2 import (
    BulkReleaseAction,
    BulkReleaseOutcome,
    BulkUpdatedRelease,
    BulkUpdateReleasesResponse,
)

from relctl.cli.application import Application, Columns, note, print_json
from relctl.cli.bars import waiting
from relctl.cli.failures import LeftOver
from relctl.cli.labels import label_option, remove_label_option
from relctl.cli.options import Folder, ask, need_somebody, pass_application, yes_option
from relctl.cli.release_filters import LANGUAGE, OPEN_ONES, filter_options
from relctl.cli.text import counted, one_line
from relctl.errors import RegistryError
from relctl.names import version_of
from relctl.release_filters import ReleaseFilter
from relctl.releases import BulkChange

CommandT = TypeVar("CommandT", bound=Callable[..., Any])

# What is only looked at goes in the largest steps; what is changed in those that the server thinks right.
LOOKED_AT_ONCE: Final = 500
SHOWN_IN_QUESTION: Final = 3
LEFT: Final = {
    BulkReleaseOutcome.BULK_RELEASE_OUTCOME_FORBIDDEN: "of projects that you may not access",
    BulkReleaseOutcome.BULK_RELEASE_OUTCOME_TOO_MANY_LABELS: "that would have too many labels",
    BulkReleaseOutcome.BULK_RELEASE_OUTCOME_HAS_HEALTH: "that had sessions in the last 90 days (--force deletes it)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """Which releases a command is about, and how it goes about it."""

    only: ReleaseFilter
    dry_run: bool
    yes: bool
    page_token: str


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be done, and how that is called: `archive`, `archived`."""

    action: BulkReleaseAction
    verb: str
    done: str


@dataclass(slots=True)
class Tally:
    """What came of the releases so far, and where to go on."""

    outcomes: Counter[BulkReleaseOutcome] = field(default_factory=Counter)
    next_page_token: str = ""

    def add(self, answer: BulkUpdateReleasesResponse) -> None:
        """Count what a step did."""
        self.outcomes.update(result.outcome for result in answer.results)
        self.next_page_token = answer.next_page_token

    @property
    def changed(self) -> int:
        """How many were changed."""
        return self.outcomes[BulkReleaseOutcome.BULK_RELEASE_OUTCOME_CHANGED]

    def raise_left_over(self) -> None:
        """Raise LeftOver when some could not be changed."""
        left = [
            f"{counted(self.outcomes[outcome], 'release')} {why}"
            for outcome, why in LEFT.items()
            if self.outcomes[outcome]
        ]
        if left:
            raise LeftOver(f"left as they are: {', '.join(left)}")


ARCHIVE: Final = Work(BulkReleaseAction.BULK_RELEASE_ACTION_ARCHIVE, "archive", "archived")
RESTORE: Final = Work(BulkReleaseAction.BULK_RELEASE_ACTION_RESTORE, "restore", "restored")
LABEL: Final = Work(BulkReleaseAction.BULK_RELEASE_ACTION_LABEL, "label", "labelled")
DELETE: Final = Work(BulkReleaseAction.BULK_RELEASE_ACTION_DELETE, "delete", "deleted")


@click.group(cls=Folder)
def bulk() -> None:
    """Change all releases that a query finds; --dry-run shows which."""


def _options(*, status_default: str = OPEN_ONES) -> Callable[[CommandT], Any]:
    """Add the flags of all of them; the command gets them as one, `manner`."""

    def add(command: CommandT) -> Any:
        @filter_options(query_required=True, status_default=status_default)
        @click.option("--dry-run", is_flag=True, help="Only show what would be done.")
        @yes_option
        @click.option(
            "--page-token", default="", metavar="TOKEN", help="Go on where an earlier run, which told it, was cut."
        )
        @wraps(command)
        def gathered(
            *arguments: Any, only: ReleaseFilter, dry_run: bool, yes: bool, page_token: str, **rest: Any
        ) -> Any:
            manner = Manner(only=only, dry_run=dry_run, yes=yes, page_token=page_token)
            return command(*arguments, manner=manner, **rest)

        return gathered

    return add


@bulk.command(epilog=LANGUAGE)
@_options()
@pass_application
def archive(application: Application, manner: Manner) -> None:
    r"""Put open releases away: lists leave them out unless asked.

    \b
    Examples:
      relctl release bulk archive --query 'release.created:+52w !has:deployed' --dry-run
      relctl release bulk archive --query 'release.package:app' --created ..2025-12-31 --yes
    """
    _carry_out(Bulk(application, manner, ARCHIVE))


@bulk.command(epilog=LANGUAGE)
@_options(status_default="archived, unless the query says which")
@pass_application
def restore(application: Application, manner: Manner) -> None:
    r"""Open archived releases again.

    \b
    Example:
      relctl release bulk restore --query 'release.version:1.4.*'
    """
    _carry_out(Bulk(application, manner, RESTORE))


@bulk.command(epilog=LANGUAGE)
@label_option
@remove_label_option
@_options()
@pass_application
def label(
    application: Application, manner: Manner, labels: tuple[tuple[str, str], ...], removed_labels: tuple[str, ...]
) -> None:
    r"""Set and remove labels; others stay.

    \b
    Examples:
      relctl release bulk label --query 'release.package:app' --label team=payments
      relctl release bulk label --query 'has:label.beta' --remove-label beta --yes
    """
    if not labels and not removed_labels:
        raise click.UsageError("say what to change: --label or --remove-label")
    _carry_out(Bulk(application, manner, LABEL, set_labels=dict(labels), remove_labels=removed_labels))


@bulk.command(epilog=LANGUAGE)
@click.option("--force", is_flag=True, help="Also those that had sessions in the last 90 days.")
@_options()
@pass_application
def delete(application: Application, manner: Manner, force: bool) -> None:
    r"""Delete releases with their files and all else of them.

    Those that had sessions in the last 90 days are left, unless --force is said.

    \b
    Example:
      relctl release bulk delete --query 'status:archived release.created:+104w' --dry-run
    """
    _carry_out(Bulk(application, manner, DELETE, force=force))


@dataclass(frozen=True, slots=True)
class Bulk:
    """A change of many releases, as one run of the program carries it out."""

    application: Application
    manner: Manner
    work: Work
    set_labels: Mapping[str, str] = field(default_factory=dict)
    remove_labels: Sequence[str] = ()
    force: bool = False

    def look(self, tally: Tally) -> Iterator[BulkUpdateReleasesResponse]:
        """What would be done, in large steps, each counted."""
        return self._steps(tally, f"to {self.work.verb}", page_size=LOOKED_AT_ONCE, validate_only=True)

    def do(self, tally: Tally) -> Iterator[BulkUpdateReleasesResponse]:
        """Do it: a step is done when it comes out of here."""
        return self._steps(tally, self.work.done)

    def _steps(
        self, tally: Tally, word: str, *, page_size: int = 0, validate_only: bool = False
    ) -> Iterator[BulkUpdateReleasesResponse]:
        answers = self.application.client.releases.bulk_update(
            self.application.organization,
            BulkChange(
                action=self.work.action,
                set_labels=self.set_labels,
                remove_labels=self.remove_labels,
                force=self.force,
            ),
            self.manner.only,
            page_size=page_size,
            page_token=self.manner.page_token,
            validate_only=validate_only,
        )
        while True:
            with waiting(f"{tally.changed:,} {word}"):
                answer = next(answers, None)
            if answer is None:
                return
            tally.add(answer)
            yield answer


def _carry_out(bulk: Bulk) -> None:
    if bulk.manner.dry_run:
        _show(bulk)
    elif bulk.manner.yes or _is_wanted(bulk):
        _do(bulk)


def _show(bulk: Bulk) -> None:
    words = {
        BulkReleaseOutcome.BULK_RELEASE_OUTCOME_CHANGED: f"would be {bulk.work.done}",
        BulkReleaseOutcome.BULK_RELEASE_OUTCOME_UNCHANGED: "is so already",
        BulkReleaseOutcome.BULK_RELEASE_OUTCOME_FORBIDDEN: "forbidden",
        BulkReleaseOutcome.BULK_RELEASE_OUTCOME_TOO_MANY_LABELS: "too many labels",
        BulkReleaseOutcome.BULK_RELEASE_OUTCOME_HAS_HEALTH: "had sessions in the last 90 days",
    }
    columns: Columns[BulkUpdatedRelease] = (
        ("version", lambda it: version_of(it.name)),
        ("outcome", lambda it: words.get(it.outcome, "?")),
    )
    tally = Tally()
    results = (result for answer in bulk.look(tally) for result in answer.results)
    bulk.application.show_list(results, columns, nothing=f"no release to {bulk.work.verb}")
    if tally.changed and not bulk.application.json:
        note(f"{counted(tally.changed, 'release')} would be {bulk.work.done}")


def _is_wanted(bulk: Bulk) -> bool:
    """Whether there is anything to do; asks whether it is to be done, and raises Declined when it is not."""
    need_somebody(yes=bulk.manner.yes)
    tally, versions = Tally(), []
    for answer in bulk.look(tally):
        changed = [it for it in answer.results if it.outcome == BulkReleaseOutcome.BULK_RELEASE_OUTCOME_CHANGED]
        versions = [version_of(result.name) for result in changed]
        if versions:
            break
    if not versions:
        note(f"no release to {bulk.work.verb}")
        tally.raise_left_over()
        return False
    many = f"{counted(len(versions), 'release')}{' or more' if tally.next_page_token else ''}"
    named = ", ".join(versions[:SHOWN_IN_QUESTION]) + (", …" if len(versions) > SHOWN_IN_QUESTION else "")
    question = f"{bulk.work.verb.capitalize()} {many} of {bulk.application.organization} ({named})?"
    ask(one_line(question), yes=bulk.manner.yes, declined=f"nothing was {bulk.work.done}")
    return True


def _do(bulk: Bulk) -> None:
    application, done = bulk.application, bulk.work.done
    tally = Tally()
    try:
        for answer in bulk.do(tally):
            for result in answer.results:
                if application.json:
                    print_json(result)
                elif result.outcome in LEFT:
                    note(f"{version_of(result.name)} was not {done}: it is one {LEFT[result.outcome]}")
    except (RegistryError, KeyboardInterrupt):
        if tally.next_page_token:
            note(
                f"{counted(tally.changed, 'release')} {done} so far. The same command does the rest, sooner with"
                f" --page-token {tally.next_page_token}"
            )
        raise
    application.say(f"{counted(tally.changed, 'release')} {done}")
    tally.raise_left_over()
