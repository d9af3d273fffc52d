"""Environments in requests and answers."""

from __future__ import annotations

from collections.abc import Iterable

from google.protobuf.message import Message
from releaseregistry.v1 import organizations_pb2 as pb

from server.mapping.times import to_timestamp
from server.names import project_name, uid
from store.deploys.environments import EnvironmentRow
from store.errors import InvalidField


def any_environments(names: Iterable[str]) -> tuple[str, ...]:
    """The environments of sessions that a request names, each once, in its order; empty for sessions without one."""
    return tuple(dict.fromkeys(names))


def named_environments(names: Iterable[str], *, field: str, what: str = "a deploy") -> tuple[str, ...]:
    """The environments that a request names, each once, in its order. Raises InvalidField for an empty one, which
    `what` never has."""
    environments = tuple(dict.fromkeys(names))
    if "" in environments:
        raise InvalidField(f"{field}[{environments.index('')}]", f"is empty, and {what} always has an environment")
    return environments


def optional_environment(request: Message) -> str | None:
    """The environment that a request may name in its field `environment`. Raises InvalidField for an empty one."""
    if not request.HasField("environment"):
        return None
    environment: str = request.environment  # type: ignore[attr-defined]
    if not environment:
        raise InvalidField("environment", "is empty; leave it out to ask for no environment")
    return environment


def environment_message(organization: str, environment: EnvironmentRow) -> pb.Environment:
    """An environment of the organization of this slug."""
    return pb.Environment(
        uid=uid(environment.id),
        display_name=environment.display_name,
        projects=[project_name(organization, slug) for slug in environment.project_slugs],
        create_time=to_timestamp(environment.create_time),
    )
