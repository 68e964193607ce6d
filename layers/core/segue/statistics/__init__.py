"""What the counts of an experiment say, and when they say nothing yet.

This package alone of ``segue`` needs SciPy, which only the report's layer carries; nothing that
serves recommendations or records outcomes may import it. docs/statistics.md explains each figure.
"""
