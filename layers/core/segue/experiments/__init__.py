"""Trustworthy A/B tests: assignment, exposures, records."""
