"""The tokens that an installation's operator gets without calling: the first one, and one in need."""

from __future__ import annotations

from store.access.scopes import WIDEST
from store.access.secrets import LONGEST_CHOSEN, SHORTEST_CHOSEN, claim, is_well_formed, new_secret, suffix_of
from store.access.tokens import TokenDetails, insert_token
from store.database import Database, Transaction, new_id
from store.errors import InvalidField


def ensure_operator_token(db: Database, secret: str | None = None) -> str | None:
    """Give an empty database its operator's token, with every scope; once in a database's life, whoever races for it.

    The token's secret is the given one (20 to 200 visible ASCII characters, or one that `new_secret` made), else a
    new one. Answers the secret when this call made the token of its own choice, for the server to keep where the
    operator finds it; None when the caller knows it already, or there was a token before.

    A server that keeps the secret in a file makes it with `new_secret`, writes the file, and only then comes here
    with it: killed in between, it starts again; the other way round the secret would be lost.

    Raises `InvalidField` for a secret that could never be used.
    """
    if secret is not None and not is_well_formed(secret):
        raise InvalidField(
            "RELEASES_BOOTSTRAP_TOKEN",
            f"must be {SHORTEST_CHOSEN} to {LONGEST_CHOSEN} visible ASCII characters,"
            " and look like a token's secret only if it is one",
        )
    chosen = secret or new_secret()
    made: bool = db.write(lambda tx: _ensure(tx, chosen))
    return chosen if made and secret is None else None


def add_operator_token(db: Database, display_name: str = "") -> str:
    """Give the operator one more token with every scope, for when the first is lost; answers its secret."""
    secret = new_secret()
    db.write(lambda tx: _insert(tx, new_id(), secret, display_name))
    return secret


def _ensure(tx: Transaction, secret: str) -> bool:
    token_id = new_id()
    # Of servers that start at once on PostgreSQL, the later ones wait here and then see that it is done.
    if not claim(tx, "operator-token", token_id):
        return False
    _insert(tx, token_id, secret, "bootstrap")
    return True


def _insert(tx: Transaction, token_id: bytes, secret: str, display_name: str) -> None:
    token = TokenDetails(
        id=token_id,
        organization=None,
        display_name=display_name,
        scopes=tuple(sorted(WIDEST)),
        all_projects=False,
        projects=(),
        create_time=tx.now,
        expire_time=None,
        revoke_time=None,
        secret_suffix=suffix_of(secret),
    )
    insert_token(tx, token, None, secret)
