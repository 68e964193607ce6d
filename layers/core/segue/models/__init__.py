"""The models and the bundle that carries them from training to serving."""
