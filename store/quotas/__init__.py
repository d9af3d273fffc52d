"""How much an organization has, and how much it may have."""
