"""What Segue is about, free of any framework: events, plays, windows, users, errors."""
