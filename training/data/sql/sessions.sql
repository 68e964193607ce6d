-- How many sessions began on each day that has any.
-- Reads events. Gives day, its midnight UTC in milliseconds since 1970, and sessions.
-- Standard SQL alone, as in plays.sql.
WITH starts AS (
    SELECT MIN(time) - MIN(time) % 86400000 AS day
    FROM events
    GROUP BY user_id, session_id
)
SELECT day, COUNT(*) AS sessions
FROM starts
GROUP BY day
ORDER BY day
