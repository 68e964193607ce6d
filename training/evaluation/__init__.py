"""How good a recommender is: our models and their peers, by one protocol, on the same splits.

The flow of ``segue evaluate``, as its ``options`` ask::

    data        --training.data-->  workspace
      |  protocol    a split at each cut-off: what is known then, and what came of it
      v
    own, contenders     our models, peers, chance, an oracle: lists of k tracks for each listener
      |  protocol    the measures of every list
      |  results     those of all cut-offs and contenders, side by side; means with intervals
      v
    answer      the rows of the answer, which ``evaluate`` puts together as JSON
      |
    report      the same as a page with pictures

    evaluations    of ``results``, what was measured of each listener, as a Parquet file

Beside it: ablations (the autoencoder with inputs missing), altered (our models on another future,
and without the past of some tracks), likeness (what lies near what).
"""
