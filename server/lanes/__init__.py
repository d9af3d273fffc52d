"""Which threads a call may use, and how much of them is one organization's."""
