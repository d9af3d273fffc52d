"""What the server tells of itself: metrics, the log, the audit trail, traces."""
