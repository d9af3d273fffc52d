"""Asking the server that runs with these settings: what has the SQLite database to itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import grpc

from server.settings import Settings
from server.tls.certificates import names_in
from store.database import CannotOpen


def is_in_use(settings: Settings, error: CannotOpen) -> bool:
    """Whether the database could not be opened because a running server has it to itself."""
    return settings.uses_sqlite and "in use by another" in str(error)


@contextmanager
def channel_to(settings: Settings) -> Iterator[grpc.Channel]:
    """A connection to the server that listens where the settings say. Whether one does is seen by the first call."""
    if settings.tls_certificate is None:
        with grpc.insecure_channel(settings.listen) as channel:
            yield channel
        return
    # The server's own certificate is all that it can present, whoever signed it and whatever name it is for; and it is
    # what this machine can show a server that wants to see one.
    chain = settings.tls_certificate.read_bytes()
    key = settings.tls_key.read_bytes() if settings.tls_client_ca is not None and settings.tls_key is not None else None
    credentials = grpc.ssl_channel_credentials(chain, key, chain if key is not None else None)
    names = names_in(settings.tls_certificate)
    options = [("grpc.ssl_target_name_override", names[0].replace("*", "any"))] if names else []
    with grpc.secure_channel(settings.listen, credentials, options) as channel:
        yield channel


def credentials(settings: Settings) -> tuple[tuple[str, str], ...]:
    """What a call of the operator's carries. Raises CannotOpen when no token is known here."""
    secret = settings.bootstrap_token
    if secret is None:
        try:
            secret = settings.operator_token_file.read_text().strip()
        except FileNotFoundError:
            raise CannotOpen(
                "A server has the database to itself, and there is no operator's token to ask it with: set "
                "RELEASES_BOOTSTRAP_TOKEN."
            ) from None
    return (("authorization", f"Bearer {secret}"),)
