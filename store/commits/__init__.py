"""Commits, their authors and changed files, and the releases they are in."""
