"""What is kept and what it means: knows no gRPC and no protos."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from store.health.sought import Sought
from store.organizations.pictures import Pictures

if TYPE_CHECKING:  # whoever needs one module of the store does not load all of it
    from store.blobs.blobs import Blobs
    from store.database import Database
    from store.paging import PageTokens


@dataclass(frozen=True, slots=True)
class Store:
    """What an operation may need: the database, the bytes of files, the tokens of pages, the maker of pictures, and
    what remembers which projects are to be looked at for releases that only sessions know."""

    db: Database
    blobs: Blobs
    page_tokens: PageTokens
    pictures: Pictures = field(default_factory=Pictures)
    sought: Sought = field(default_factory=Sought)
