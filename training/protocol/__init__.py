"""How recommenders are judged, ours and their peers alike: the same splits, lists and measures.

::

    split       what is known at a cut-off, and what came of it; NumPy is all it needs
    temporal    the cut-offs that a workspace allows, and the split at each
    lists       from scores to k tracks for each judged listener, in two views
    metrics     accuracy, novelty, diversity and popularity of lists
    listeners   kinds of listeners, told by what they played before the cut-off

This file imports nothing: peers read ``split`` where there is NumPy alone.
"""
