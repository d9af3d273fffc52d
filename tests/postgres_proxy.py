"""What lies between a server and its PostgreSQL, and fails as a network does: a Unix socket before another one.

Held, it takes what is sent and passes nothing on, for connections that there are and for new ones: a black hole. Told
to cut a COMMIT, it ends the connection "before" PostgreSQL gets it, or "after" PostgreSQL has answered it. Whose it
is can be told by what is sent in that write, for a server has much to commit: other calls, its housekeeping, reads.
"""

from __future__ import annotations

import shutil
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from psycopg.conninfo import conninfo_to_dict

_NAME: Final = ".s.PGSQL.5432"
_COMMIT: Final = b"Q\x00\x00\x00\x0bCOMMIT\x00"
_BEGIN: Final = b"BEGIN ISOLATION LEVEL "
_READ_ONLY: Final = b"READ ONLY"


class PostgresProxy:
    """A proxy before the PostgreSQL of `url`; its own `url` leads through it."""

    def __init__(self, url: str, folder: Path) -> None:
        parameters: dict[str, Any] = dict(conninfo_to_dict(url))
        self._upstream = f"{parameters['host']}/{_NAME}"
        self.url = f"postgresql://postgres@/{parameters['dbname']}?host={quote(str(folder), safe='')}"
        self.cuts = 0
        """How many COMMITs were cut."""
        self._cut_next: list[tuple[str, tuple[bytes, ...]]] = []
        self._choosing = threading.Lock()
        self._open = threading.Event()
        self._open.set()
        self._pairs: set[_Pair] = set()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / _NAME))
        self._listener.listen(64)
        self._ended = False
        threading.Thread(target=self._accept, daemon=True).start()

    def hold(self) -> None:
        """From now on nothing passes, either way."""
        self._open.clear()

    def let_go(self) -> None:
        """Everything passes again, and first what was held."""
        self._open.set()

    def cut_next_commit(self, moment: str, of: tuple[bytes, ...] = (b"",)) -> None:
        """End the connection of the next COMMIT of a write, "before" it arrives or "after" it was answered.

        Only of a write that begins from now on, and in which one of these is sent: the COMMITs of others pass.
        """
        self._cut_next.append((moment, of))

    def forget_cuts(self) -> None:
        """Cut no COMMIT any more."""
        self._cut_next.clear()

    def cut_all(self) -> None:
        """End all connections that there are."""
        for pair in list(self._pairs):
            pair.close()

    def close(self) -> None:
        """End everything."""
        self._ended = True
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.let_go()
        self.cut_all()

    def _accept(self) -> None:
        while not self._ended:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._connect, args=(client,), daemon=True).start()

    def _connect(self, client: socket.socket) -> None:
        self._open.wait()
        upstream = socket.socket(socket.AF_UNIX)
        try:
            upstream.connect(self._upstream)
        except OSError:
            client.close()
            return
        pair = _Pair(client, upstream)
        self._pairs.add(pair)
        threading.Thread(target=self._pass_on, args=(pair,), daemon=True).start()
        self._pass_back(pair)
        self._pairs.discard(pair)

    def _pass_on(self, pair: _Pair) -> None:
        with suppress(OSError):
            while data := pair.client.recv(65536):
                self._open.wait()
                moment = self._moment_of_cut(pair, data) if self._cut_next else None
                if moment == "before":
                    break
                pair.ends_at_answer |= moment == "after"
                pair.upstream.sendall(data)
        if not pair.ends_at_answer:
            pair.close()

    def _moment_of_cut(self, pair: _Pair, data: bytes) -> str | None:
        if _BEGIN in data:
            pair.sent.clear()
        pair.sent += data
        sent = bytes(pair.sent)
        if _COMMIT not in data or _BEGIN not in sent or _READ_ONLY in sent:
            return None
        with self._choosing:
            for cut in self._cut_next:
                moment, of = cut
                if any(mark in sent for mark in of):
                    self._cut_next.remove(cut)
                    self.cuts += 1
                    return moment
        return None

    def _pass_back(self, pair: _Pair) -> None:
        with suppress(OSError):
            while data := pair.upstream.recv(65536):
                self._open.wait()
                if pair.ends_at_answer:
                    break
                pair.client.sendall(data)
        pair.close()


class _Pair:
    def __init__(self, client: socket.socket, upstream: socket.socket) -> None:
        self.client, self.upstream = client, upstream
        self.ends_at_answer = False
        self.sent = bytearray()
        """What was sent since the last BEGIN, while a COMMIT is to be cut."""

    def close(self) -> None:
        for end in (self.client, self.upstream):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


@contextmanager
def proxied(url: str) -> Iterator[PostgresProxy]:
    """A proxy before the PostgreSQL at a URL that names a socket's folder."""
    folder = tempfile.mkdtemp(prefix="registry-proxy-")
    proxy = PostgresProxy(url, Path(folder))
    try:
        yield proxy
    finally:
        proxy.close()
        shutil.rmtree(folder, ignore_errors=True)
