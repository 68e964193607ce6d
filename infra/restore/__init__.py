"""Brings back what was lost of a stack: a table, items of a table, the archive of results.

Nothing of it brings an erased user back, overwrites what is newer, or has to be told where it was
stopped: it is repeated.
"""
