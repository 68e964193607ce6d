"""The tables that analysts get: the names and types of their columns.

docs/tables.md says what each column means. ``training.frames`` hands all of them over as pandas
DataFrames. Two are files as well: ``segue evaluate --evaluations`` writes ``EVALUATIONS``, and
``segue results export`` writes ``RECORDS``.
"""

import pyarrow as pa

_TIME = pa.timestamp("ms", tz="UTC")
_TEXTS = pa.list_(pa.string())


class Column:
    """Names of columns. Ids have one name in every table, so that tables can be joined by them."""

    USER_ID = "user_id"
    SESSION_ID = "session_id"
    TRACK_ID = "track_id"

    TIME = "time"
    COMPLETED = "completed"
    LIKED = "liked"
    SKIPPED_AT = "skipped_at"
    LIKED_AT = "liked_at"

    WEEK = "week"
    PLAYS = "plays"
    FULL_PLAYS = "full_plays"
    LIKED_PLAYS = "liked_plays"
    LISTENERS = "listeners"

    ARTIST_ID = "artist_id"
    ARTIST_NAME = "artist_name"
    ARTIST_GENRES = "artist_genres"

    FAVOURITE_GENRES = "favourite_genres"
    PREMIUM = "premium"

    CUTOFF = "cutoff"
    MODEL = "model"
    ROLE = "role"
    VIEW = "view"
    SEED = "seed"
    KIND = "kind"
    HIT = "hit"
    NDCG = "ndcg"
    RECALL = "recall"
    MAP = "map"
    NOVELTY = "novelty"
    DIVERSITY = "diversity"
    POPULARITY = "popularity"
    PLAYED_POPULARITY = "played_popularity"

    CREATED_AT = "created_at"
    GROUP = "group"
    SUCCESSFUL = "recomm_successful"
    TRACKS = "tracks"
    AS_OF = "as_of"
    SETTLED_AT = "settled_at"
    BUNDLE = "bundle"
    ERROR = "error"
    CREDITS = "credits"
    PROPENSITIES = "propensities"
    LATER = "later"
    POSITIONS = "positions"


# One row a play.
PLAYS = pa.schema(
    {
        Column.USER_ID: pa.string(),
        Column.SESSION_ID: pa.string(),
        Column.TRACK_ID: pa.string(),
        Column.TIME: _TIME,
        Column.COMPLETED: pa.bool_(),
        Column.LIKED: pa.bool_(),
        Column.SKIPPED_AT: _TIME,
        Column.LIKED_AT: _TIME,
    }
)

# One row a track and week in which it was played.
WEEKS = pa.schema(
    {
        Column.TRACK_ID: pa.string(),
        Column.WEEK: _TIME,
        Column.PLAYS: pa.int64(),
        Column.FULL_PLAYS: pa.int64(),
        Column.LIKED_PLAYS: pa.int64(),
        Column.LISTENERS: pa.int64(),
    }
)

# One row a track of the catalogue; its other columns follow, as the data have them.
TRACKS = pa.schema(
    {
        Column.TRACK_ID: pa.string(),
        Column.ARTIST_ID: pa.string(),
        Column.ARTIST_NAME: pa.string(),
        Column.ARTIST_GENRES: _TEXTS,
    }
)

# One row a profile; what else the feature schema reads of users follows.
USERS = pa.schema(
    {
        Column.USER_ID: pa.string(),
        Column.FAVOURITE_GENRES: _TEXTS,
        Column.PREMIUM: pa.bool_(),
    }
)

# One row a listener, model or peer, view, cut-off and seed.
EVALUATIONS = pa.schema(
    {
        Column.CUTOFF: _TIME,
        Column.USER_ID: pa.string(),
        Column.MODEL: pa.string(),
        Column.ROLE: pa.string(),
        Column.VIEW: pa.string(),
        Column.SEED: pa.int64(),
        Column.PLAYS: pa.int64(),
        Column.KIND: pa.string(),
        Column.HIT: pa.float64(),
        Column.NDCG: pa.float64(),
        Column.RECALL: pa.float64(),
        Column.MAP: pa.float64(),
        Column.NOVELTY: pa.float64(),
        Column.DIVERSITY: pa.float64(),
        Column.POPULARITY: pa.float64(),
        Column.PLAYED_POPULARITY: pa.float64(),
    }
)

# One row a user in an A/B test whose outcome is settled, as GET /ab_test/results lists them.
RECORDS = pa.schema(
    {
        Column.CREATED_AT: _TIME,
        Column.USER_ID: pa.string(),
        Column.GROUP: pa.string(),
        Column.MODEL: pa.string(),
        Column.SUCCESSFUL: pa.int8(),
        Column.TRACKS: _TEXTS,
        Column.AS_OF: _TIME,
        Column.SETTLED_AT: _TIME,
        Column.BUNDLE: pa.string(),
        Column.ERROR: pa.string(),
        Column.CREDITS: pa.map_(pa.string(), pa.int64()),
        Column.PROPENSITIES: pa.map_(pa.string(), pa.float64()),
        Column.LATER: pa.list_(pa.struct({"shown_at": _TIME, Column.TRACKS: _TEXTS})),
        Column.POSITIONS: pa.list_(pa.int64()),
    }
)
