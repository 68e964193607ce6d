"""Everything offline: read data, split by time, train, evaluate, export."""
