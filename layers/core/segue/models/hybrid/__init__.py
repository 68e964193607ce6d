"""Model 3: a mixture of everything that a listener's next play may come from.

``statistics``: what all listeners together did, and ``vectors``, how the large part of it is kept;
``summary``: what one listener played; ``sources``: the shares that follow; ``gates``: how these are
mixed; ``model``: the tracks with the greatest shares, and why.
"""
