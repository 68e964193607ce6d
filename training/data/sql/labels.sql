-- What the classifier learns from: the plays of the week from each cut-off on, and how they ended.
-- Reads plays (see plays.sql) and cutoffs(as_of), times in milliseconds since 1970 UTC.
-- Gives as_of, user_id, track_id, completed: whether the track was played to the end at least once.
-- 604800000 is 7 days in milliseconds.
SELECT
    cutoffs.as_of,
    plays.user_id,
    plays.track_id,
    MAX(CASE WHEN plays.completed THEN 1 ELSE 0 END) = 1 AS completed
FROM cutoffs
INNER JOIN plays
    ON plays.time >= cutoffs.as_of
    AND plays.time < cutoffs.as_of + 604800000
GROUP BY cutoffs.as_of, plays.user_id, plays.track_id
ORDER BY as_of, user_id, track_id
