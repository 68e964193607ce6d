"""Segue: a track recommender, and the experiments that tell which of its models is better."""

__version__ = "0.1.0"
