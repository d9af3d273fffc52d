"""What happened: an entry per project with who, when and what."""
