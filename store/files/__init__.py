"""Files of releases."""
