-- How each track does at the end of a window of time, as it was known then: how often it was fully
-- played in so many days before, how often it was begun in the last 30, and how much it is played
-- of late, for which a play counts half as much after every 3 days, in billionths of a play:
-- whole numbers add up to the same in any order.
-- Reads plays (see plays.sql) and time_window(starts_at, ends_at), one row, in milliseconds since
-- 1970 UTC. A skip at the window's end or later is not known yet.
-- Standard SQL alone, as in plays.sql.
WITH known AS (
    SELECT
        plays.track_id,
        (time_window.ends_at - plays.time) / 86400000 AS days,
        plays.skipped_at IS NULL OR plays.skipped_at >= time_window.ends_at AS ended
    FROM plays
    CROSS JOIN time_window
    WHERE plays.time >= time_window.starts_at AND plays.time < time_window.ends_at
)
SELECT
    track_id,
    COUNT(CASE WHEN ended AND days <= 1 THEN 1 END) AS full_1,
    COUNT(CASE WHEN ended AND days <= 3 THEN 1 END) AS full_3,
    COUNT(CASE WHEN ended AND days <= 7 THEN 1 END) AS full_7,
    COUNT(CASE WHEN ended AND days <= 14 THEN 1 END) AS full_14,
    COUNT(CASE WHEN ended AND days <= 30 THEN 1 END) AS full_30,
    COUNT(CASE WHEN ended AND days <= 365 THEN 1 END) AS full_365,
    COUNT(CASE WHEN days <= 30 THEN 1 END) AS begun,
    CAST(
        SUM(CASE WHEN days <= 30 THEN CAST(ROUND(1e9 * POWER(2, -days / 3)) AS BIGINT) ELSE 0 END)
        AS BIGINT
    ) AS hot
FROM known
GROUP BY track_id
ORDER BY track_id
