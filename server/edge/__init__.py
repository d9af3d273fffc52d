"""What surrounds every call: its credential, its rights, its messages, how it ends."""
