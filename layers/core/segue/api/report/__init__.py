"""The report on an experiment as a page."""
