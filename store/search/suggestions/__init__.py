"""Values for searches, as they are typed: what begins so, of releases that the caller may see."""
