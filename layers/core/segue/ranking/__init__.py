"""From scores to a list: filters and the order of the list."""
