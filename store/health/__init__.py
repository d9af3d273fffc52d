"""Release health: what sessions say of releases."""
