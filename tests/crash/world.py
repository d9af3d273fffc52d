"""What a dying server was told to keep, and what of it the next one has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tests.crash.client import MIB, Client, bytes_of, new_id
from tests.crash.dying import DyingServer
from tests.crash.workload import BrokenPromise


class World:
    """A server, its client, and what was answered: the bytes of each file of a release."""

    def __init__(self, server: DyingServer) -> None:
        self.server = server
        self.kept: dict[str, dict[str, bytes]] = {}
        self.pictures = 0
        self.organization = "organizations/acme"
        self.release = f"{self.organization}/releases/app@1.0.0"

    def begin(self, client: Client) -> None:
        """An organization, a project, a release, and a file that is there all along."""
        self.client = client
        client.make_organization("acme", "web")
        client.make_release(self.organization, "app@1.0.0", "web")
        self.kept[self.release] = {}
        self.upload("always there", bytes_of(MIB, "always there"))

    def upload(self, file_name: str, content: bytes) -> str:
        """A file that was answered; its name."""
        name = self.client.upload(self.release, file_name, content, upload_id=new_id())
        self.kept[self.release][file_name] = content
        return name

    def forget(self, file_name: str) -> None:
        """Deletes a file again, to keep the world small."""
        self.client.delete_file(self.client.files(self.release)[file_name])
        del self.kept[self.release][file_name]

    def look(self, doubtful: Mapping[str, Sequence[bytes | None]]) -> None:
        """Everything that was answered is there, byte for byte, and nothing else, but of each of the doubtful files one
        of the contents that it may have (None: it is not there). Raises BrokenPromise."""
        for release, kept in self.kept.items():
            allowed: dict[str, Sequence[bytes | None]] = {file: (content,) for file, content in kept.items()}
            if release == self.release:
                allowed.update(doubtful)
            found = self.client.files(release)
            if strangers := found.keys() - allowed.keys():
                raise BrokenPromise(f"{release}: files that nobody sent: {strangers}")
            for file_name, contents in allowed.items():
                name = found.get(file_name)
                content = None if name is None else self.client.download(name)
                if content not in contents:
                    raise BrokenPromise(f"{release}: {file_name} is {'not there' if content is None else 'damaged'}")
