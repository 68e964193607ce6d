-- How often each track was fully played: within a window of time, and ever before its end.
-- Reads plays (see plays.sql) and time_window(starts_at, ends_at), one row, in milliseconds since
-- 1970 UTC. A skip at the window's end or later is not known yet.
-- Standard SQL alone, as in plays.sql.
SELECT
    plays.track_id,
    COUNT(CASE WHEN plays.time >= time_window.starts_at THEN 1 END) AS recent,
    COUNT(*) AS ever
FROM plays
CROSS JOIN time_window
WHERE plays.time < time_window.ends_at
    AND (plays.skipped_at IS NULL OR plays.skipped_at >= time_window.ends_at)
GROUP BY plays.track_id
ORDER BY track_id
