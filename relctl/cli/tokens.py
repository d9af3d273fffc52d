"""`relctl token` and `relctl whoami`."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import click
from releaseregistry.v1.tokens_pb2 import Token, WhoAmIResponse

from relctl.cli.application import Application, Columns, note, print_json
from relctl.cli.options import Folder, Leaf, limit_option, pass_application
from relctl.cli.text import DURATION, MOMENT, local_time
from relctl.errors import LocalError
from relctl.names import last_part, project_name, token_name


def _projects(token: Token, *, of_installation: bool) -> str:
    if token.all_projects or of_installation:
        return "all"
    return ", ".join(last_part(name) for name in token.projects) or "none"


def _is_about_releases(scopes: tuple[str, ...]) -> bool:
    return any(scope.startswith("release:") for scope in scopes)


def _of_installation(token: Token) -> bool:
    return token.name.startswith("tokens/")


def _told_token(answer: WhoAmIResponse) -> Token:
    """The token, with something of a name also where a certificate has none."""
    if not answer.certificate:
        return answer.token
    told = Token()
    told.CopyFrom(answer.token)
    told.name = token_name(last_part(answer.organization) or None, told.uid)
    return told


COLUMNS: Final[Columns[Token]] = (
    ("uid", lambda it: it.uid),
    ("name", lambda it: it.display_name),
    ("scopes", lambda it: " ".join(it.scopes)),
    ("projects", lambda it: _projects(it, of_installation=_of_installation(it))),
    ("ends with", lambda it: it.secret_suffix),
    ("created", lambda it: local_time(it.create_time, is_set=it.HasField("create_time"))),
    ("expires", lambda it: local_time(it.expire_time, is_set=it.HasField("expire_time"))),
    ("old secret ends", lambda it: local_time(it.old_secret_expire_time, is_set=it.HasField("old_secret_expire_time"))),
    ("revoked", lambda it: local_time(it.revoke_time, is_set=it.HasField("revoke_time"))),
)
MEMBER_OF_NOTHING: Final = (
    "note: without --project or --all-projects the token is a member of no project, and reaches releases only where "
    "the organization has open membership"
)
WHOAMI_COLUMNS: Final[Columns[WhoAmIResponse]] = (
    ("organization", lambda it: last_part(it.organization) or "every one: an operator's"),
    ("certificate", lambda it: it.certificate),
    *((title, lambda it, value=value: value(_told_token(it))) for title, value in COLUMNS),
    ("caller", lambda it: it.caller),
)


@click.group(cls=Folder)
def token() -> None:
    """Tokens: who may call, and what."""


@token.command()
@click.argument("name")
@click.option("--scope", "scopes", multiple=True, required=True, help="What it may do, such as release:write; repeat.")
@click.option("--project", "projects", multiple=True, metavar="SLUG", help="A project it is a member of; repeat.")
@click.option("--all-projects", is_flag=True, help="Make it a member of every project, also of later ones.")
@click.option("--expires", type=MOMENT, help="When it ends by itself: RFC 3339.")
@click.option("--installation", is_flag=True, help="Make an operator's token, which reaches every organization.")
@pass_application
def create(
    application: Application,
    name: str,
    scopes: tuple[str, ...],
    projects: tuple[str, ...],
    all_projects: bool,
    expires: datetime | None,
    installation: bool,
) -> None:
    r"""Create a token and tell its secret, this once.

    \b
    Scopes: org:read org:write org:admin project:write release:read release:write
    release:admin health:read health:write token:admin, and for operators
    installation:admin. Admin includes write, write includes read.

    \b
    Examples:
      relctl token create ci --scope release:write --project web
      relctl token create ci --scope release:write --project web --json | jq -r .secret
    """
    organization = None if installation else application.organization
    draft = Token(display_name=name, scopes=scopes, all_projects=all_projects)
    if organization is not None:
        draft.projects.extend(project_name(organization, slug) for slug in projects)
    elif projects or all_projects:
        raise click.UsageError("a token of the installation reaches every project: leave --project away")
    if expires is not None:
        draft.expire_time.FromDatetime(expires)
    answer = application.client.tokens.create(organization, draft)
    if not answer.secret:
        uid = answer.token.uid
        raise LocalError(f"the answer with the secret was lost; revoke the token {uid} and create another")
    if organization is not None and not projects and not all_projects and _is_about_releases(scopes):
        note(MEMBER_OF_NOTHING)
    if application.json:
        print_json(answer)
        return
    application.say(f"token {answer.token.display_name} created; its secret is shown this once:")
    click.echo(answer.secret)
    application.show(answer.token, COLUMNS)


@token.command("list")
@click.option("--installation", is_flag=True, help="List the operators' tokens.")
@limit_option
@pass_application
def list_(application: Application, installation: bool, limit: int | None) -> None:
    """List tokens, newest first; revoked and expired ones too."""
    organization = None if installation else application.organization
    application.show_list(application.client.tokens.list(organization, limit=limit), COLUMNS, nothing="no tokens")


@token.command()
@click.argument("uid")
@click.option("--installation", is_flag=True, help="It is an operator's token.")
@pass_application
def revoke(application: Application, uid: str, installation: bool) -> None:
    """End a token at once, named by its uid."""
    organization = None if installation else application.organization
    revoked = application.client.tokens.revoke(organization, last_part(uid))
    application.say(f"token {revoked.display_name or revoked.uid} revoked")
    application.show(revoked, COLUMNS)


@token.command()
@click.argument("uid", metavar="UID|self")
@click.option(
    "--overlap",
    type=DURATION,
    default="1h",
    show_default=True,
    metavar="TIME",
    help="How long the secret it has goes on: 90s, 30m, 12h, at most 7d; 0 ends it at once.",
)
@click.option("--installation", is_flag=True, help="It is an operator's token.")
@pass_application
def rotate(application: Application, uid: str, overlap: timedelta, installation: bool) -> None:
    r"""Give a token another secret and tell it, this once.

    The secret that it has goes on for the overlap, so that nobody is turned away while the new one is brought where it
    is used. `self` is the token that calls.

    \b
    Examples:
      relctl token rotate self --overlap 12h --json | jq -r .secret
      relctl token rotate 01890a5d-ac96-774b-bcce-b302099a8057 --overlap 0
    """
    tokens = application.client.tokens
    if uid == "self":
        name = tokens.who_am_i().token.name
        if not name:
            raise LocalError("a certificate calls, and no token: there is no secret to rotate")
    else:
        name = token_name(None if installation else application.organization, last_part(uid))
    answer = tokens.rotate(name, overlap)
    if not answer.secret:
        raise LocalError("the answer with the secret was lost; rotate again, while the old secret goes on")
    if application.json:
        print_json(answer)
        return
    application.say(f"token {answer.token.display_name or answer.token.uid} rotated; its secret is shown this once:")
    click.echo(answer.secret)
    application.show(answer.token, COLUMNS)


@click.command(cls=Leaf)
@pass_application
def whoami(application: Application) -> None:
    """Show what the calling token is and may do."""
    application.show(application.client.tokens.who_am_i(), WHOAMI_COLUMNS)
