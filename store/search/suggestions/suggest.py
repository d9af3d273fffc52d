"""Suggestions of values for a search: those that begin as a text does (behaviour.md, Searching and listing
releases)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from store.access import Access
from store.access.projects import ProjectSlugText
from store.database import Database, Reader
from store.database.batches import batches
from store.errors import InvalidField
from store.releases.rows import ReleaseStatus
from store.search.filters import ReleaseFilter, Scope
from store.search.language.keys import find_key, likely_key
from store.search.language.tree import Key
from store.search.orders import LAST_ID, Direction, Order, ReleaseSort
from store.search.resolve import resolve
from store.search.suggestions.environment_scans import scan_environments
from store.search.suggestions.held_values import authors_held, values_held
from store.search.suggestions.value_scans import (
    BUILDS,
    EMAILS,
    LABEL_VALUES,
    LABELS,
    NAMES,
    PACKAGES,
    Place,
    Source,
    Span,
    scan,
    scan_versions,
)
from store.search.walks import Bounds, IndexWalk
from store.text import after_prefix, folded, folded_key

MOST_LOOKED_AT: Final = 1000
"""So many values are looked at for one call, whether they may be told or not."""

_AT_ONCE: Final = 250
_BEYOND_VERSIONS: Final = "\U0010ffff" * 201
_BY_NAME: Final = Direction(Order(ReleaseSort.NAME, descending=False))
_SHOWN: Final = 40

_LABEL: Final = f"{Key.LABEL}."
_SOURCES: Final[dict[Key, tuple[Source, ...]]] = {
    Key.PACKAGE: (PACKAGES,),
    Key.BUILD: (BUILDS,),
    Key.AUTHOR: (EMAILS, NAMES),
    Key.LABEL: (LABELS,),
}
SUGGESTED: Final = (Key.RELEASE, Key.PACKAGE, Key.BUILD, Key.ENVIRONMENT, Key.AUTHOR, Key.LABEL)
"""The keys that have suggestions; of the last one there are the names of labels, and behind a dot their values."""

Walk = Callable[[Span, int], Sequence[Place]]


@dataclass(frozen=True, slots=True)
class Suggestions:
    """Values by code point, each once; `incomplete` says that there may be more."""

    values: tuple[str, ...]
    incomplete: bool


@dataclass(frozen=True, slots=True)
class _Found:
    """The first places of a span that have a text, and whether these are all that there are."""

    places: Sequence[Place]
    whole: bool


def suggest_values(
    db: Database,
    access: Access,
    organization_slug: str,
    key: str,
    prefix: str,
    *,
    projects: Sequence[ProjectSlugText] = (),
    every_project: bool = False,
    size: int,
) -> Suggestions:
    """At most `size` values of a key that begin with the prefix, and that releases of the projects have, open or
    archived.

    `key`: one of SUGGESTED, or `label.` and the name of a label, for its values. Authors are suggested by e-mail and by
    name, as they are kept; of them the prefix counts in whatever case. `projects` and `every_project`: as for lists of
    releases.

    A value that only releases of other projects have changes nothing, not even whether the answer is complete, as long
    as the projects hold at most 2,000 releases. Where they hold more, their newest 2,000 are looked at, and up to 1,000
    values of the organization, each by its newest releases; such an answer is never called complete.

    Raises `InvalidField` for another key, `OrganizationNotFound`, `ProjectForbidden`.
    """
    known, label = _key(key)
    wanted = ReleaseFilter(
        projects=tuple(projects),
        every_project=every_project,
        statuses=(ReleaseStatus.OPEN, ReleaseStatus.ARCHIVED),
    )

    def read(reader: Reader) -> Suggestions:
        scope = resolve(reader, access, organization_slug, wanted, now_us=db.clock.now_us())
        search = _Search(reader, scope, prefix, size, {"label": label} if label else {})
        return _first_of(search.of(known), size)

    return db.read(read)


def _key(text: str) -> tuple[Key, str]:
    """The key, and the name of a label where its values are asked for."""
    if text.startswith(_LABEL) and text != _LABEL:
        return Key.LABEL, text.removeprefix(_LABEL)
    known = find_key(text)
    if known in SUGGESTED:
        return known, ""
    guess = likely_key(text)
    hint = f"; did you mean {guess}?" if guess in SUGGESTED else ""
    listed = ", ".join(SUGGESTED)
    shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
    raise InvalidField("key", f"`{shown}` has no suggestions; the keys that have are {listed} and label.NAME{hint}")


def _first_of(found: Sequence[_Found], size: int) -> Suggestions:
    """What several walks found together: the first `size`, by the places that they were sorted by."""
    texts: dict[str, str] = {}
    for each in found:
        for place, text in each.places:
            if text is not None:
                texts.setdefault(place, text)
    first = sorted(texts)[:size]
    whole = len(texts) <= size and all(each.whole for each in found)
    return Suggestions(tuple(sorted({texts[place] for place in first})), incomplete=not whole)


@dataclass(frozen=True, slots=True)
class _Search:
    """A search for at most `size` values of a scope's releases; `params` is what fills holes of the sources."""

    reader: Reader
    scope: Scope
    prefix: str
    size: int
    params: Mapping[str, str]

    def of(self, key: Key) -> list[_Found]:
        """The first values of a key that begin with the prefix, from each place where it has some."""
        if key is Key.RELEASE:
            return [self._walked(self._versions, _span(self.prefix), MOST_LOOKED_AT)]
        if key is Key.ENVIRONMENT:
            return [self._walked(self._environments, _span(self.prefix), MOST_LOOKED_AT)]
        if key is not Key.AUTHOR:
            return self._of_sources((LABEL_VALUES,) if self.params else _SOURCES[key], _span(self.prefix))
        begin = folded(self.prefix)  # of which an index takes no more than the key holds
        return [
            replace(each, places=[place for place in each.places if folded(place.text or "").startswith(begin)])
            for each in self._of_sources(_SOURCES[key], _span(folded_key(self.prefix)))
        ]

    def _of_sources(self, sources: Sequence[Source], span: Span) -> list[_Found]:
        if self.scope.projects.everything:
            return [self._scanned(source, (), span, MOST_LOOKED_AT // len(sources)) for source in sources]
        if EMAILS in sources:
            held = authors_held(self.reader, self.scope, span)
        else:
            held = values_held(self.reader, self.scope, sources[0], span, **self.params)
        found = [_Found(held.places, held.whole)]
        if not held.whole:
            parts = list(batches(sorted(self.scope.projects.ids)))
            most = MOST_LOOKED_AT // (len(sources) * len(parts))
            found += [self._scanned(source, part, span, most) for source in sources for part in parts]
        return found

    def _scanned(self, source: Source, projects: Sequence[bytes], span: Span, most: int) -> _Found:
        def walk(span: Span, count: int) -> Sequence[Place]:
            organization_id = self.scope.organization.id
            return scan(
                self.reader, source, span, count, organization_id=organization_id, projects=projects, **self.params
            )

        return self._walked(walk, span, most)

    def _walked(self, walk: Walk, span: Span, most: int) -> _Found:
        """The first places of the span that have a text, more than `size` if there are more; `most` are looked at."""
        found: list[Place] = []
        left, count = most, self.size + 1
        while left:
            count = min(count, left)
            places = walk(span, count)
            found.extend(place for place in places if place.text is not None)
            if len(places) < count:
                return _Found(found, whole=True)
            if len(found) > self.size:
                break
            left -= count
            span = span.after(places[-1].place)
            count = _AT_ONCE
        return _Found(found, whole=False)

    def _environments(self, span: Span, count: int) -> Sequence[Place]:
        return scan_environments(self.reader, self.scope, span, count)

    def _versions(self, span: Span, count: int) -> Sequence[Place]:
        if self.scope.projects.everything:
            return scan_versions(self.reader, span, count, organization_id=self.scope.organization.id)
        walk = IndexWalk(self.scope, _BY_NAME, Bounds(self.prefix, self.prefix + _BEYOND_VERSIONS))
        found = walk.after(self.reader, (span.first, LAST_ID) if span.behind else None, count)
        return [Place(version, version) for version, _ in found]


def _span(prefix: str) -> Span:
    return Span(prefix, after_prefix(prefix))
