-- The plays of a window of time, as they were known at its end: a skip or a like at that moment or
-- later had not happened yet.
-- Reads plays (see plays.sql) and time_window(starts_at, ends_at), one row, in milliseconds since
-- 1970 UTC; the start belongs to the window, the end does not.
-- Standard SQL alone, as in plays.sql.
SELECT
    plays.user_id,
    plays.session_id,
    plays.track_id,
    plays.time,
    CASE WHEN plays.skipped_at < time_window.ends_at THEN plays.skipped_at END AS skipped_at,
    CASE WHEN plays.liked_at < time_window.ends_at THEN plays.liked_at END AS liked_at
FROM plays
CROSS JOIN time_window
WHERE plays.time >= time_window.starts_at AND plays.time < time_window.ends_at
ORDER BY user_id, time, track_id, session_id
