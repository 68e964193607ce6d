-- Labelled plays: what became of each track that a listener started.
-- Reads events(user_id, session_id, time, type, track_id), times in milliseconds since 1970 UTC.
-- Gives one row for each PLAY: session_id, user_id, track_id, time, completed, liked, and the times
-- from which the last two are known, null where nothing happened: skipped_at, liked_at.
-- The rule is that of segue.domain.plays.label_plays; a test holds the two together.
-- Standard SQL alone: DuckDB runs it on one machine, Spark on many.
WITH numbered AS (
    -- Every event bears the number of the play it belongs to: the last one begun in its session.
    -- A skip that bears the time of the next play belongs to the play before it.
    SELECT
        session_id,
        user_id,
        track_id,
        time,
        type,
        SUM(CASE WHEN type = 'PLAY' THEN 1 ELSE 0 END) OVER (
            PARTITION BY user_id, session_id
            ORDER BY time, CASE WHEN type = 'PLAY' THEN 1 ELSE 0 END, track_id
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS play_number
    FROM events
    WHERE type IN ('PLAY', 'SKIP') AND track_id IS NOT NULL
),
skips AS (
    SELECT session_id, user_id, track_id, play_number, MIN(time) AS skipped_at
    FROM numbered
    WHERE type = 'SKIP'
    GROUP BY session_id, user_id, track_id, play_number
),
likes AS (
    SELECT session_id, user_id, track_id, MIN(time) AS liked_at
    FROM events
    WHERE type = 'LIKE'
    GROUP BY session_id, user_id, track_id
)
SELECT
    play.session_id,
    play.user_id,
    play.track_id,
    play.time,
    skips.skipped_at IS NULL AS completed,
    likes.liked_at IS NOT NULL AS liked,
    skips.skipped_at,
    likes.liked_at
FROM numbered AS play
LEFT JOIN skips
    ON skips.user_id = play.user_id
    AND skips.session_id = play.session_id
    AND skips.track_id = play.track_id
    AND skips.play_number = play.play_number
LEFT JOIN likes
    ON likes.user_id = play.user_id
    AND likes.session_id = play.session_id
    AND likes.track_id = play.track_id
WHERE play.type = 'PLAY'
ORDER BY user_id, time, session_id, track_id, skipped_at
