-- Events out of plays: sessions, a PLAY for each play, and a SKIP for each that ended early.
-- Reads heard(user_id, time, played_ms, completed, track_id): when a play began and how long it
-- lasted, in milliseconds, the latter null where it is not known. A silence of 30 minutes ends a
-- session, which is named after its beginning and its listener: so it has the same id whenever the
-- same plays are read again, with more before or after them.
-- Standard SQL alone, as in plays.sql.
WITH placed AS (
    SELECT
        user_id,
        time,
        COALESCE(played_ms, 0) AS played_ms,
        completed,
        track_id,
        ROW_NUMBER() OVER (
            PARTITION BY user_id ORDER BY time, track_id, played_ms NULLS LAST, completed
        ) AS place
    FROM heard
),
-- Plays that began at one moment follow one another by two milliseconds: so the SKIP of one has its
-- place between the two.
spaced AS (
    SELECT
        user_id,
        2 * place + MAX(time - 2 * place) OVER (PARTITION BY user_id ORDER BY place) AS time,
        played_ms,
        completed,
        track_id
    FROM placed
),
followed AS (
    SELECT
        *,
        LEAD(time) OVER listening AS next_time,
        CASE WHEN time - LAG(time + played_ms) OVER listening <= 30 * 60 * 1000 THEN NULL
        ELSE time END AS session_begins
    FROM spaced
    WINDOW listening AS (PARTITION BY user_id ORDER BY time)
),
in_sessions AS (
    SELECT
        *,
        CONCAT(
            MAX(session_begins) OVER (PARTITION BY user_id ORDER BY time),
            '-',
            LEFT(MD5(user_id), 12)
        ) AS session_id
    FROM followed
)
SELECT session_id, time AS timestamp, user_id, track_id, 'PLAY' AS event_type FROM in_sessions
UNION ALL
-- No later than the next play begins, or it would be taken for one of that.
SELECT
    session_id,
    GREATEST(time + 1, LEAST(time + played_ms, next_time)),
    user_id,
    track_id,
    'SKIP'
FROM in_sessions
WHERE NOT completed
ORDER BY user_id, timestamp, event_type DESC
