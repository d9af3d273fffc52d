"""Releases: what was released, under which version, and what belongs to it."""
