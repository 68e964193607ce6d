-- The figures of a summary, in one row.
-- Reads events, plays (see plays.sql) and tracks(id), times in milliseconds since 1970 UTC.
-- Standard SQL alone, as in plays.sql.
WITH sessions AS (
    SELECT MAX(time) - MIN(time) AS length, COUNT(*) AS events
    FROM events
    GROUP BY user_id, session_id
),
pairs AS (
    SELECT user_id, track_id, COUNT(*) AS plays
    FROM plays
    GROUP BY user_id, track_id
),
strangers AS (
    SELECT SUM(pairs.plays) AS plays
    FROM pairs
    LEFT JOIN tracks ON tracks.id = pairs.track_id
    WHERE tracks.id IS NULL
)
SELECT
    (SELECT COUNT(*) FROM tracks) AS tracks,
    (SELECT COUNT(DISTINCT user_id) FROM events) AS listeners,
    (SELECT COUNT(*) FROM sessions) AS sessions,
    (SELECT MIN(time) FROM events) AS first_event,
    (SELECT MAX(time) FROM events) AS last_event,
    (SELECT COUNT(*) FROM plays) AS plays,
    (SELECT COUNT(*) FROM plays WHERE completed) AS completed_plays,
    (SELECT COUNT(*) FROM plays WHERE liked) AS liked_plays,
    (SELECT CAST(COALESCE(SUM(plays), 0) AS BIGINT) FROM strangers) AS unknown_plays,
    (SELECT COUNT(*) FROM pairs) AS played_pairs,
    (SELECT COALESCE(MAX(length), 0) FROM sessions) AS longest_session_ms,
    (SELECT COALESCE(MAX(events), 0) FROM sessions) AS longest_session_events
