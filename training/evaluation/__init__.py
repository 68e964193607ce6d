"""How good a recommender is: our models and their peers, by one protocol, on the same splits.

The flow of ``segue evaluate``::

    data        --training.data-->  workspace
      |  cutoffs     which moments the data allows: weekly, or the one of a given split
      |  temporal    a Split at each: what is known then, and what came of it
      v
    contenders  own models, peers, an oracle: a list of k tracks for each listener and view
      |  metrics     of every list: accuracy, novelty, diversity, popularity
      |  results     those of all cut-offs and contenders, side by side
      |  intervals   means and differences, by a bootstrap that resamples listeners
      v
    evaluate    one answer as JSON; report: the same as pages and pictures

Beside it: leaks (another future, the same lists), ablations (the autoencoder with inputs missing),
cold (tracks held out of all plays), likeness (what lies near what).

This file imports nothing: peers read ``split`` where there is NumPy alone.
"""
