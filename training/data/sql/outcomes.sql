-- What came of each cut-off: the tracks that a listener fully played in the 30 days from it on.
-- Reads plays (see plays.sql) and cutoffs(as_of), times in milliseconds since 1970 UTC.
-- Gives as_of, user_id, track_id, and heard: whether the listener had started the track before.
-- The days are [as_of, as_of + 30 days), and a skip behind them comes too late to count;
-- 2592000000 is 30 days in milliseconds.
WITH first_plays AS (
    SELECT user_id, track_id, MIN(time) AS first_time
    FROM plays
    GROUP BY user_id, track_id
)
SELECT DISTINCT
    cutoffs.as_of,
    plays.user_id,
    plays.track_id,
    first_plays.first_time < cutoffs.as_of AS heard
FROM cutoffs
INNER JOIN plays
    ON plays.time >= cutoffs.as_of
    AND plays.time < cutoffs.as_of + 2592000000
INNER JOIN first_plays
    ON first_plays.user_id = plays.user_id
    AND first_plays.track_id = plays.track_id
WHERE plays.skipped_at IS NULL OR plays.skipped_at >= cutoffs.as_of + 2592000000
ORDER BY as_of, user_id, track_id
