"""Comparisons: what a request compares, and what the store answers to messages."""

from __future__ import annotations

from typing import Final

from releaseregistry.v1 import comparisons_pb2 as pb

from server.mapping.commits import author_message, change_message, commit_message
from server.mapping.files import file_message
from store.commits.changes import ChangeRow
from store.commits.contents import AuthorRow, CommitRow
from store.releases.compare import Difference, Section, Side
from store.releases.compare_files import FileDifference
from store.releases.compare_sections import AUTHORS, CHANGES, COMMITS, REFERENCES

SECTIONS: Final[dict[int, Section]] = {
    pb.COMPARISON_SECTION_COMMITS: COMMITS,
    pb.COMPARISON_SECTION_CHANGED_FILES: CHANGES,
    pb.COMPARISON_SECTION_AUTHORS: AUTHORS,
    pb.COMPARISON_SECTION_REFERENCES: REFERENCES,
}
"""The sections that are compared side by side; files are compared key by key."""

_SIDES: Final[dict[Side, pb.ComparisonSide]] = {
    Side.ADDED: pb.COMPARISON_SIDE_ADDED,
    Side.REMOVED: pb.COMPARISON_SIDE_REMOVED,
    Side.CHANGED: pb.COMPARISON_SIDE_CHANGED,
}


def difference_message(difference: Difference) -> pb.Difference:
    """Something that one of two releases has."""
    side = _SIDES[difference.side]
    match difference.subject:
        case CommitRow() as commit:
            return pb.Difference(side=side, commit=commit_message(commit))
        case ChangeRow() as change:
            return pb.Difference(side=side, change=change_message(change))
        case AuthorRow() as author:
            return pb.Difference(side=side, author=author_message(author))
        case reference:
            return pb.Difference(side=side, reference=reference)


def file_difference_message(difference: FileDifference) -> pb.Difference:
    """A file that two releases do not have alike."""
    return pb.Difference(
        side=_SIDES[difference.side],
        file=pb.FileDifference(
            file=None if difference.file is None else file_message(difference.file),
            base_file=None if difference.base_file is None else file_message(difference.base_file),
        ),
    )
