-- All that was known of every listener at each cut-off: their plays before it, however long ago.
-- Reads plays (see plays.sql) and cutoffs(as_of), times in milliseconds since 1970 UTC.
-- Gives as_of, user_id, session_id, track_id, time, completed, liked for plays before as_of.
-- As in windows.sql, a skip or a like at as_of or later is not known yet.
SELECT
    cutoffs.as_of,
    plays.user_id,
    plays.session_id,
    plays.track_id,
    plays.time,
    plays.skipped_at IS NULL OR plays.skipped_at >= cutoffs.as_of AS completed,
    plays.liked_at IS NOT NULL AND plays.liked_at < cutoffs.as_of AS liked
FROM cutoffs
INNER JOIN plays
    ON plays.time < cutoffs.as_of
ORDER BY as_of, user_id, time, track_id, session_id, completed
