"""How long texts may be: said to whoever sends them, and held to by what reads them."""

# Of a user, a session or a track.
MAX_ID_LENGTH = 64
# Of an expression that filters or boosts tracks.
MAX_EXPRESSION_LENGTH = 1_000
