-- What was known of every listener at each cut-off: their plays of the 30 days before it.
-- Reads plays (see plays.sql) and cutoffs(as_of), times in milliseconds since 1970 UTC.
-- Gives as_of, user_id, session_id, track_id, time, completed, liked for plays whose time is in
-- [as_of - 30 days, as_of); 2592000000 is 30 days in milliseconds.
-- A skip or a like at as_of or later is not known yet: a play that it concerns counts as completed,
-- or as not liked, as it does where the service is asked at that moment.
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
    ON plays.time >= cutoffs.as_of - 2592000000
    AND plays.time < cutoffs.as_of
ORDER BY as_of, user_id, time, session_id, track_id, completed
