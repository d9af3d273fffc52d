"""`relctl org`: organizations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import click
from releaseregistry.v1.organizations_pb2 import AvatarType, Organization

from relctl.cli.application import Application, Columns
from relctl.cli.options import Folder, ask, limit_option, pass_application, yes_option
from relctl.cli.quotas import BYTES, COUNT, DEFAULT
from relctl.cli.text import human_bytes, local_time

CommandT = TypeVar("CommandT", bound=Callable[..., Any])

COLUMNS: Final[Columns[Organization]] = (
    ("slug", lambda it: it.slug),
    ("name", lambda it: it.display_name),
    ("open membership", lambda it: it.open_membership),
    ("avatar", lambda it: AvatarType.Name(it.avatar_type).removeprefix("AVATAR_TYPE_").lower()),
    ("created", lambda it: local_time(it.create_time)),
)


def _of_quota(name: str, told: Callable[[int], str]) -> Callable[[Organization], str]:
    """How much of a quota is used, such as `1.5 GB of 10.0 GB`."""

    def used(it: Organization) -> str:
        count = told(getattr(it.usage, name))
        return f"{count} of {told(getattr(it.usage.quota, name))}" if it.usage.quota.HasField(name) else count

    return used


def _own(name: str, told: Callable[[int], str]) -> Callable[[Organization], str]:
    """A quota of its own; empty when it has none."""
    return lambda it: told(getattr(it.quota, name)) if it.quota.HasField(name) else ""


CHANGED: Final[Columns[Organization]] = (
    *COLUMNS,
    ("quota of bytes", _own("stored_bytes", human_bytes)),
    ("quota of files", _own("file_count", "{:,}".format)),
    ("quota of streams", _own("stream_count", "{:,}".format)),
)
DETAILS: Final[Columns[Organization]] = (
    *COLUMNS,
    ("stored", _of_quota("stored_bytes", human_bytes)),
    ("files", _of_quota("file_count", "{:,}".format)),
    ("streams", _of_quota("stream_count", "{:,}".format)),
)


@click.group(cls=Folder)
def org() -> None:
    """Organizations: who owns projects, releases and tokens."""


@org.command()
@click.argument("slug")
@click.option("--name", default="", help="The name for people. [default: the slug]")
@click.option("--open-membership", is_flag=True, help="Let every token of it reach all of its projects.")
@pass_application
def create(application: Application, slug: str, name: str, open_membership: bool) -> None:
    r"""Create an organization; needs an operator's token.

    \b
    Example:
      relctl org create acme --name "Acme Inc."
    """
    made = application.client.organizations.create(slug, display_name=name, open_membership=open_membership)
    application.say(f"organization {made.slug} created")
    application.show(made, COLUMNS)


@org.command()
@click.argument("slug", required=False)
@pass_application
def get(application: Application, slug: str | None) -> None:
    """Show an organization with what it has and may have, without SLUG the one in use."""
    application.show(application.client.organizations.get(slug or application.organization), DETAILS)


@org.command("list")
@limit_option
@pass_application
def list_(application: Application, limit: int | None) -> None:
    """List the organizations that the token reaches."""
    application.show_list(application.client.organizations.list(limit=limit), COLUMNS, nothing="no organizations")


def _switch(name: str, text: str) -> Callable[[CommandT], CommandT]:
    """A flag that is said one way, the other way, or not at all."""
    return click.option(f"--{name}/--no-{name}", default=None, help=text)


def _quota(name: str, kind: click.ParamType[int], text: str) -> Callable[[CommandT], CommandT]:
    return click.option(f"--quota-{name}", type=kind, metavar="N", help=text)


@org.command()
@click.argument("slug")
@click.option("--slug", "new_slug", help="Another slug; the old one stays an alias.")
@click.option("--name", "display_name", help="The name for people.")
@_switch("open-membership", "Every token reaches all projects, or not.")
@click.option("--avatar", type=click.Choice(["letter", "upload"]), help="What stands for it; see `relctl avatar`.")
@click.option("--debug-files-role", metavar="SCOPE", help='What downloading debug files needs; "" is release:read.')
@click.option("--attachments-role", metavar="SCOPE", help='What downloading attachments needs; "" is release:read.')
@_switch("join-requests", "Recorded: people may ask to join.")
@_switch("early-adopter", "Recorded: it wants features early.")
@_switch("events-member-admin", "Recorded: members may administer events.")
@_switch("alerts-member-write", "Recorded: members may write alerts.")
@_quota("stored-bytes", BYTES, "The most bytes stored for it, such as 10GiB.")
@_quota("file-count", COUNT, "The most files of all its releases.")
@_quota("stream-count", COUNT, "The most streams that it runs at a time on a server process.")
@pass_application
def update(
    application: Application,
    /,
    slug: str,
    new_slug: str | None,
    avatar: str | None,
    quota_stored_bytes: int | None,
    quota_file_count: int | None,
    quota_stream_count: int | None,
    **options: str | bool | None,
) -> None:
    r"""Change what is said; the rest stays. Quotas need an operator's token; `default` is what the server says.

    \b
    Example:
      relctl org update acme --quota-stored-bytes 10GiB --quota-file-count default
    """
    changes = Organization()
    quota = {"stored_bytes": quota_stored_bytes, "file_count": quota_file_count, "stream_count": quota_stream_count}
    said: dict[str, Any] = {"slug": new_slug, **options}
    if avatar is not None:
        said["avatar_type"] = AvatarType.Value(f"AVATAR_TYPE_{avatar.upper()}")
    paths = [path for path, value in said.items() if value is not None]
    for path in paths:
        setattr(changes, path, said[path])
    for name, most in quota.items():
        if most is not None:
            paths.append(f"quota.{name}")
        if most is not None and most != DEFAULT:
            setattr(changes.quota, name, most)
    if not paths:
        raise click.UsageError("say what to change")
    application.show(application.client.organizations.update(slug, changes, paths=paths), CHANGED)


@org.command()
@click.argument("slug")
@click.option("--force", is_flag=True, help="Even if it has projects and releases; everything in it goes.")
@yes_option
@pass_application
def delete(application: Application, slug: str, force: bool, yes: bool) -> None:
    r"""Delete an organization. Its tokens end, and its slug is never given to another.

    \b
    Example:
      relctl org delete acme --force --yes
    """
    question = f"Delete organization {slug}{' with everything in it' if force else ''}?"
    ask(question, yes=yes, declined=f"organization {slug} was not deleted")
    application.client.organizations.delete(slug, force=force)
    application.say(f"organization {slug} deleted")
