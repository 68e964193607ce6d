"""Model 3: a mixture of everything that a listener's next play may come from.

``statistics``: what all listeners together did, and ``vectors``, how the large part of it is kept;
``sources``: the shares that follow from it for one listener; ``gates``: how these are mixed;
``model``: the tracks with the greatest shares, and why.
"""
