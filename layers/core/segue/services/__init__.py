"""What a handler calls: one service a job."""
