-- What became of each track in each week, which begins on Monday, 0:00 UTC.
-- Reads plays (see plays.sql). Gives week, when it begins in milliseconds since 1970 UTC, and how
-- many plays the track had, how many of them were full, how many liked, and how many listeners.
-- Standard SQL alone, as in plays.sql.
SELECT
    track_id,
    time - (time + 3 * 86400000) % (7 * 86400000) AS week,
    COUNT(*) AS plays,
    COUNT(CASE WHEN completed THEN 1 END) AS full_plays,
    COUNT(CASE WHEN liked THEN 1 END) AS liked_plays,
    COUNT(DISTINCT user_id) AS listeners
FROM plays
GROUP BY track_id, time - (time + 3 * 86400000) % (7 * 86400000)
ORDER BY track_id, week
