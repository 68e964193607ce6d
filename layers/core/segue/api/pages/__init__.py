"""Pages for people: what a browser is sent, file by file."""
