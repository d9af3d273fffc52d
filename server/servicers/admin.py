"""RPCs for the operator of the installation."""

from __future__ import annotations

from collections.abc import Callable, Generator

from releaseregistry.v1 import admin_pb2 as pb

from server.edge.calls import Call
from server.mapping.admin import adoption_message, checked_message, checked_percent, collected_message, copy_message
from store import Store
from store.backup.sending import copied_database
from store.blobs.check import check_storage
from store.blobs.collector import Collector
from store.health.adoption import run_adoption


class AdminServicer:
    """The RPCs of the admin service."""

    def __init__(self, store: Store, collector: Collector) -> None:
        self._store = store
        self._collector = collector

    def CollectGarbage(self, request: pb.CollectGarbageRequest, call: Call) -> pb.CollectGarbageResponse:
        if request.validate_only:
            found = self._collector.preview(stopped=_asking(call))
        else:
            found = self._collector.collect(confirmed=True, stopped=_asking(call))
        return collected_message(found)

    def RunAdoption(self, request: pb.RunAdoptionRequest, call: Call) -> pb.RunAdoptionResponse:  # noqa: ARG002 - it asks nothing
        return adoption_message(run_adoption(self._store.db, stopped=_asking(call)))

    def DownloadDatabase(
        self,
        request: pb.DownloadDatabaseRequest,  # noqa: ARG002 - it asks nothing
        call: Call,
    ) -> Generator[pb.DownloadDatabaseResponse, None, None]:
        with copied_database(self._store.db, between=call.check) as copy:
            yield copy_message(copy)
            for data in copy.data:
                yield pb.DownloadDatabaseResponse(data=data)

    def CheckStorage(self, request: pb.CheckStorageRequest, call: Call) -> pb.CheckStorageResponse:
        checked = check_storage(
            self._store.db,
            self._store.blobs.packs,
            cutoff=self._collector.cutoff(),
            percent=checked_percent(request),
            repair=request.repair,
            stopped=_asking(call),
        )
        return checked_message(checked)


def _asking(call: Call) -> Callable[[], bool]:
    """Asked between two steps: never stops by itself, and raises when nobody waits for the answer any more."""

    def stopped() -> bool:
        call.check()
        return False

    return stopped
