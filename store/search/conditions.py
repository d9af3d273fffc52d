"""What a query asks of a release, as a condition in SQL.

Conditions are true or false, never NULL: a Not holds wherever its condition does not. They are asked of releases that
were found some other way, some hundreds at a time, so that each looks up what belongs to one release and never all that
would match.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import and_, or_
from types import MappingProxyType
from typing import Any, Final

import peewee
from peewee import SQL, NodeList

from store.commits.models import ReleaseReference
from store.database.dialect import Engine
from store.deploys.models import DeployProject, ReleaseEnvironment
from store.files.models import ReleaseFile
from store.releases.models import Release, ReleaseLabel
from store.releases.rows import ReleaseStatus
from store.releases.version import FIRST_SEMVER_KEY, NO_BUILD_KEY
from store.search.filters import Scope
from store.search.language import (
    Ago,
    And,
    Comparison,
    Expression,
    Flag,
    FreeText,
    Has,
    In,
    Key,
    Latest,
    Moment,
    Not,
    Number,
    Operator,
    Or,
    Value,
    VersionPoint,
    VersionPrefix,
    Word,
)
from store.search.language.tree import MINUTE
from store.search.related import ALWAYS, Condition, Related, among, as_kept
from store.search.texts import any_text, contains

_FALSE: Final = peewee.SQL("FALSE")
_STATUSES: Final = MappingProxyType({"open": int(ReleaseStatus.OPEN), "archived": int(ReleaseStatus.ARCHIVED)})
_STAGES: Final = MappingProxyType(
    {
        "adopted": ReleaseEnvironment.adopted_time.is_null(False) & ReleaseEnvironment.unadopted_time.is_null(),
        "replaced": ReleaseEnvironment.adopted_time.is_null(False) & ReleaseEnvironment.unadopted_time.is_null(False),
        "low_adoption": ReleaseEnvironment.adopted_time.is_null(),
    }
)


def condition_of(scope: Scope, engine: Engine) -> Condition | None:
    """What must hold of a row of `Release` beside `in_scope`: the query, the environments, the spans of time; None
    when nothing is asked."""
    asked = _Asked(scope, engine, Related(scope, engine))
    conditions = [
        *_within(Release.create_time, scope.created),
        *(_known(Release.release_time, each) for each in _within(Release.release_time, scope.released)),
    ]
    if scope.environment_ids is not None:
        conditions.append(asked.there())
    if scope.expression is not None:
        conditions.append(asked.holds(scope.expression))
    return _apart(_every(conditions), engine) if conditions else None


def in_scope(scope: Scope, engine: Engine) -> Condition:
    """That a row of `Release` is of the organization, has one of the statuses, and is in one of the projects."""
    conditions = [
        _unindexed(Release.organization_id, engine) == scope.organization.id,
        Release.status.in_(scope.statuses),
        Release.project_count > 0,
        Related(scope, engine).project(),
    ]
    return _apart(_every(conditions), engine)


def _apart(condition: Condition, engine: Engine) -> Condition:
    """The condition out of the planner's sight, so that the releases it is asked of are read by their ids.

    PostgreSQL would else read an index by what is asked, such as all versions from 1.0 on, and look for the ids there:
    it takes that for cheaper than some hundred rows by their key.
    """
    if engine == "sqlite":
        return condition
    return peewee.fn.COALESCE(peewee.Select(columns=[condition]), _FALSE)


@dataclass(frozen=True, slots=True)
class _Asked:
    """A query's terms as conditions, within a scope."""

    scope: Scope
    engine: Engine
    related: Related

    def holds(self, expression: Expression) -> Condition:
        """That the expression holds of a row of `Release`."""
        match expression:
            case And(conditions):
                return _every([self.holds(each) for each in conditions])
            case Or(conditions):
                return _some([self.holds(each) for each in conditions])
            case Not(condition):
                return ~self.holds(condition)
            case FreeText():
                return _some([contains(Release.folded_version, text, self.engine) for text in expression.texts])
            case Has(key, name):
                return _HAS[key](self, name)
            case In(key, values, name):
                return _COMPARES[key](self, name, Operator.EQUAL, values)
            case Comparison(key, operator, value, name):
                return _COMPARES[key](self, name, operator, (value,))

    def text(self, column: Any, values: Sequence[Value]) -> Condition:
        """That a column is equal to one of the values; where it may be NULL: false then."""
        told = any_text(column, values, self.engine)
        return _known(column, told) if column.null else told

    def release(self, values: Sequence[Value]) -> Condition:
        """That the version is one of the values, or the release one that `latest` stands for."""
        texts = [value for value in values if not isinstance(value, Latest)]
        conditions = [self.text(Release.version, texts)] if texts else []
        if len(texts) < len(values):
            conditions.append(among(Release.id, self.scope.latest, self.engine))
        return _some(conditions)

    def version(self, operator: Operator, value: Value) -> Condition:
        """That the semantic version compares so."""
        assert isinstance(value, VersionPoint | VersionPrefix)
        conditions = list(_between(Release.version_key, operator, value.first_key, value.beyond_key))
        if operator in (Operator.BELOW, Operator.AT_MOST):
            conditions.append(Release.version_key >= FIRST_SEMVER_KEY)
        if value.package is not None:
            conditions.append(self.text(Release.package, [value.package]))
        return _every(conditions)

    def build(self, operator: Operator, value: Value) -> Condition:
        """That the build number compares so, or the build code is that text."""
        if not isinstance(value, Number):
            return self.text(Release.build_code, [value])
        compared = _number(Release.build_key, operator, value)
        is_there = Release.build_key > NO_BUILD_KEY
        return compared & is_there if operator in (Operator.BELOW, Operator.AT_MOST) else compared

    def time(self, column: Any, operator: Operator, value: Value) -> Condition:
        """That the time in a column compares so."""
        if isinstance(value, Ago):
            first = self.scope.now_us - value.minutes * MINUTE
            return _every(list(_between(column, operator, first, first + 1)))
        assert isinstance(value, Moment)
        return _every(list(_between(column, operator, value.first, value.beyond)))

    def deployed(self, name: str, operator: Operator, value: Value) -> Condition:
        """That some deploy finished so."""
        if operator in (Operator.ABOVE, Operator.AT_LEAST):
            # Some deploy is so new where the newest of a project in an environment is.
            return self.related.deployed(name, self.time(ReleaseEnvironment.last_finish_time, operator, value))
        return self.related.deploy(name, self.time(DeployProject.finish_time, operator, value))

    def there(self, test: Condition = ALWAYS) -> Condition:
        """That it was deployed, or had sessions, in one of the environments of the scope, so that the test holds."""
        there = among(ReleaseEnvironment.environment_id, self.scope.environment_ids or (), self.engine)
        return self.related.environment(there & test)

    def stage(self, values: Sequence[Value]) -> Condition:
        """That it has one of these stages in the one environment of the scope."""
        return self.there(_some([_STAGES[value.word] for value in values if isinstance(value, Word)]))

    def labelled(self, name: str) -> Condition:
        """That there is a label of this name and not empty; with the name empty: any label."""
        return self.related.label(name, ReleaseLabel.value != "") if name else Release.label_count > 0


def _known(column: Any, condition: Condition) -> Condition:
    """The condition on a column that may be NULL: false then."""
    return column.is_null(False) & condition


def _within(column: Any, span: tuple[int | None, int | None]) -> Iterator[Condition]:
    first, beyond = span
    if first is not None:
        yield column >= first
    if beyond is not None:
        yield column < beyond


def _between(column: Any, operator: Operator, first: Any, beyond: Any) -> Iterator[Condition]:
    """That the column is in, above or below the stretch from the first to before the second."""
    match operator:
        case Operator.EQUAL:
            yield column >= first
            yield column < beyond
        case Operator.ABOVE:
            yield column >= beyond
        case Operator.AT_LEAST:
            yield column >= first
        case Operator.BELOW:
            yield column < first
        case Operator.AT_MOST:
            yield column < beyond


def _unindexed(column: Any, engine: Engine) -> Any:
    """The column so written that SQLite seeks nothing by it: it would rather read all releases of the organization in
    an index of a list than look up 500 by their ids."""
    return NodeList((SQL("+"), column)) if engine == "sqlite" else column


def _number(column: Any, operator: Operator, value: Value) -> Condition:
    assert isinstance(value, Number)
    match operator:
        case Operator.EQUAL:
            return column == value.number
        case Operator.ABOVE:
            return column > value.number
        case Operator.AT_LEAST:
            return column >= value.number
        case Operator.BELOW:
            return column < value.number
        case Operator.AT_MOST:
            return column <= value.number


def _every(conditions: Sequence[Condition]) -> Condition:
    return _joined(conditions, and_)


def _some(conditions: Sequence[Condition]) -> Condition:
    return _joined(conditions, or_)


def _joined(conditions: Sequence[Condition], operator: Callable[[Condition, Condition], Condition]) -> Condition:
    """All of them joined in pairs, and those in pairs: Peewee writes expressions recursively, and a hundred in a row
    would be a hundred deep."""
    joined = list(conditions)
    while len(joined) > 1:
        pairs = [operator(left, right) for left, right in zip(joined[::2], joined[1::2], strict=False)]
        joined = pairs + joined[2 * len(pairs) :]
    return joined[0]


_Has = Callable[[_Asked, str], Condition]
_Compares = Callable[[_Asked, str, Operator, Sequence[Value]], Condition]


def _each(test: Callable[[_Asked, str, Operator, Value], Condition]) -> _Compares:
    """One of the values compares so."""
    return lambda asked, name, operator, values: _some([test(asked, name, operator, value) for value in values])


def _equal(test: Callable[[_Asked, str, Sequence[Value]], Condition]) -> _Compares:
    """One of the values is equal: of such keys nothing else is asked."""
    return lambda asked, name, _operator, values: test(asked, name, values)


_HAS: Final[Mapping[Key, _Has]] = MappingProxyType(
    {
        Key.RELEASE: lambda _asked, _name: ALWAYS,
        Key.VERSION: lambda _asked, _name: Release.version_key >= FIRST_SEMVER_KEY,
        Key.PACKAGE: lambda _asked, _name: _known(Release.package, Release.package != ""),
        Key.BUILD: lambda _asked, _name: _known(Release.build_code, Release.build_code != ""),
        Key.CREATED: lambda _asked, _name: ALWAYS,
        Key.RELEASED: lambda _asked, _name: Release.release_time.is_null(False),
        Key.STAGE: lambda asked, _name: asked.there(),
        Key.FINALIZED: lambda _asked, _name: Release.release_time.is_null(False),
        Key.STATUS: lambda _asked, _name: ALWAYS,
        Key.PROJECT: lambda asked, _name: asked.related.project(),
        Key.ENVIRONMENT: lambda asked, _name: asked.related.any_environment(),
        Key.REF: lambda _asked, _name: Release.ref != "",
        Key.OWNER: lambda _asked, _name: Release.folded_owner != "",
        Key.LABEL: lambda asked, name: asked.labelled(name),
        Key.AUTHOR: lambda _asked, _name: Release.author_count > 0,
        Key.COMMIT: lambda _asked, _name: Release.commit_count > 0,
        Key.REPOSITORY: lambda _asked, _name: Release.head_count > 0,
        Key.REFERENCE: lambda asked, _name: asked.related.reference(),
        Key.DEPLOYED: lambda asked, name: asked.related.deployed(name, ALWAYS),
        Key.FILE: lambda asked, _name: asked.related.file(),
        Key.COMMITS: lambda _asked, _name: Release.commit_count > 0,
        Key.DEPLOYS: lambda _asked, _name: Release.deploy_count > 0,
    }
)

_COMPARES: Final[Mapping[Key, _Compares]] = MappingProxyType(
    {
        Key.RELEASE: _equal(lambda asked, _name, values: asked.release(values)),
        Key.VERSION: _each(lambda asked, _name, operator, value: asked.version(operator, value)),
        Key.PACKAGE: _equal(lambda asked, _name, values: asked.text(Release.package, values)),
        Key.BUILD: _each(lambda asked, _name, operator, value: asked.build(operator, value)),
        Key.CREATED: _each(lambda asked, _name, operator, value: asked.time(Release.create_time, operator, value)),
        Key.RELEASED: _each(
            lambda asked, _name, operator, value: _known(
                Release.release_time, asked.time(Release.release_time, operator, value)
            )
        ),
        Key.STAGE: _equal(lambda asked, _name, values: asked.stage(values)),
        Key.FINALIZED: _each(
            lambda _asked, _name, _operator, value: Release.release_time.is_null(value == Flag(value=False))
        ),
        Key.STATUS: _equal(
            lambda _asked, _name, values: Release.status.in_(
                [_STATUSES[value.word] for value in values if isinstance(value, Word)]
            )
        ),
        Key.PROJECT: _equal(lambda asked, _name, values: asked.related.project_called(values)),
        Key.ENVIRONMENT: _equal(lambda asked, _name, values: asked.related.environment_called(values)),
        Key.REF: _equal(lambda asked, _name, values: asked.text(Release.ref, values)),
        Key.OWNER: _equal(lambda asked, _name, values: asked.text(Release.folded_owner, as_kept(values))),
        Key.LABEL: _equal(
            lambda asked, name, values: asked.related.label(name, asked.text(ReleaseLabel.value, values))
        ),
        Key.AUTHOR: _equal(lambda asked, _name, values: asked.related.author(values)),
        Key.COMMIT: _each(lambda asked, _name, _operator, value: asked.related.commit(value)),
        Key.REPOSITORY: _equal(lambda asked, _name, values: asked.related.repository(values)),
        Key.REFERENCE: _equal(
            lambda asked, _name, values: asked.related.reference(
                asked.text(ReleaseReference.folded_reference, as_kept(values))
            )
        ),
        Key.DEPLOYED: _each(lambda asked, name, operator, value: asked.deployed(name, operator, value)),
        Key.FILE: _equal(
            lambda asked, _name, values: asked.related.file(asked.text(ReleaseFile.folded_name, as_kept(values)))
        ),
        Key.COMMITS: _each(lambda _asked, _name, operator, value: _number(Release.commit_count, operator, value)),
        Key.DEPLOYS: _each(lambda _asked, _name, operator, value: _number(Release.deploy_count, operator, value)),
    }
)
