"""How each of the models is trained, and what comes of it for the bundle."""
