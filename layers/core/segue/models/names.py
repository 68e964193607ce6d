"""What the models are called, for those who have no need to load any."""

NAMES = {0: "popularity", 1: "autoencoder", 2: "classifier", 3: "hybrid"}
