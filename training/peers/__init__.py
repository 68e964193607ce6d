"""The recommenders that ours have to beat: simple rules, known libraries, the original service.

All of them answer to one interface (``peer``), are fitted on the same splits as our models, and
choose their settings on an earlier split, never on the one that is reported (``tuning``). They run
in processes of their own (``python -m training.peers``), so that one that fails or takes too much
memory ends alone. Those of the long form need an interpreter of their own as well
(``environment``): their releases pin an older NumPy. What runs there is this package and
``training.protocol.split`` alone, so nothing here but ``environment`` imports anything else of
Segue, and nothing but NumPy and SciPy on the way in.
"""
