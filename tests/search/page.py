"""docs/search.md as tests read it: the releases of its table, and the lines of its examples."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.search.evaluator import Release
from tests.search.small_set import commit, release

PAGE = (Path(__file__).parents[2] / "docs" / "search.md").read_text(encoding="utf-8")

AUTHOR = r"(?: by (?P<name>.+) <(?P<email>.+)>)?"
COMMIT = re.compile(rf"(?P<id>\S+) in (?P<repository>\S+){AUTHOR}(?: fixing (?P<fixes>\S+))?")


def micros(day: str) -> int:
    return int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()) * 1_000_000


def rows() -> Iterator[Release]:
    """The releases of the page's table."""
    table = re.findall(r"^\| `(.+?)` \|(.+)\|$", PAGE.split("## Terms")[0], re.MULTILINE)
    for number, row in enumerate(table, start=1):
        projects, created, released, more = (cell.strip() for cell in row[1].split("|"))
        slugs = projects.split(", ")
        fields: dict[str, Any] = {"commits": [], "deploys": [], "files": [], "stays": [], "labels": {}}
        for phrase in more.split("; "):
            word, _, rest = phrase.partition(" ")
            match word:
                case "archived":
                    fields["status"] = "archived"
                case "ref" | "owner":
                    fields[word] = rest
                case "label":
                    fields["labels"].update([rest.split("=")])
                case "file":
                    fields["files"].append({"name": rest, "project": None})
                case "deployed":
                    environment, day = rest.removeprefix("to ").split(" on ")
                    fields["deploys"].append({"environment": environment, "finished": micros(day), "projects": slugs})
                case "sessions" | "adopted":
                    environment, *days = re.split(" on | from | to ", rest.removeprefix("in "))
                    times = dict(zip(("adopted", "unadopted"), map(micros, days), strict=False))
                    never = {"adopted": None, "unadopted": None}
                    fields["stays"] += [
                        {"environment": environment, "project": slug, **never, **times} for slug in slugs
                    ]
                case "commit":
                    told = COMMIT.fullmatch(rest)
                    assert told, rest
                    fixes = [told["fixes"]] if told["fixes"] else []
                    fields["commits"].append(
                        commit(
                            told["id"],
                            repository=told["repository"],
                            name=told["name"],
                            email=told["email"],
                            fixes=fixes,
                        )
                    )
                case _:
                    raise AssertionError(phrase)
        yield release(
            row[0],
            id=number,
            projects=slugs,
            created=micros(created),
            released=micros(released) if released else None,
            **fields,
        )


def lines(kind: str) -> list[str]:
    """The lines of the page's blocks of one kind."""
    blocks = re.findall(rf"^```{kind}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def examples(kind: str) -> list[tuple[str, list[str]]]:
    """What stands before the arrow, and the versions behind it."""
    told = [re.split(r"\s+→ ", line) for line in lines(kind)]
    return [(asked, found.split(", ")) for asked, found in told]


QUERIES = examples("query")
LISTS = examples("list")
REFUSED = [re.split(r"\s{2,}", line) for line in lines("refused")]
