"""Organizations, their projects and their repositories."""
