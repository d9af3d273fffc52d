"""Who may do what: tokens, their scopes, and the projects they are members of."""

from store.access.access import Access

__all__ = ["Access"]
