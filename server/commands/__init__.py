"""The commands of `release-server`, a module each topic."""
