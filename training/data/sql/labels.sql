-- What the classifier learns from: the tracks that a listener fully played in the week from each
-- cut-off on, as far as that was known at the week's end.
-- Reads plays (see plays.sql) and cutoffs(as_of), times in milliseconds since 1970 UTC.
-- Gives as_of, user_id, track_id.
-- 604800000 is 7 days in milliseconds.
SELECT DISTINCT
    cutoffs.as_of,
    plays.user_id,
    plays.track_id
FROM cutoffs
INNER JOIN plays
    ON plays.time >= cutoffs.as_of
    AND plays.time < cutoffs.as_of + 604800000
WHERE plays.skipped_at IS NULL OR plays.skipped_at >= cutoffs.as_of + 604800000
ORDER BY as_of, user_id, track_id
