"""Simulations that show what the statistics are worth where the truth is known."""
