-- Listening events out of PostgreSQL, in the form that `segue import` takes:
--
--   segue import --sql docs/examples/sessions.sql --users-sql docs/examples/users.sql \
--                --url postgresql://reader@db.example/listening --endpoint-url http://127.0.0.1:4566
--
-- The query is sent as it stands and its rows are streamed; their order does not matter.
-- timestamp may be a time, ISO 8601 text, or whole milliseconds since 1970; a time without a zone
-- is read as UTC. event_type is PLAY, SKIP, LIKE, ADVERTISEMENT or BUY_PREMIUM in any case.
SELECT
    e.session_id,
    e.occurred_at AS "timestamp",
    s.user_id,
    e.track_id,
    e.kind AS event_type
FROM listening_event AS e
INNER JOIN listening_session AS s ON s.id = e.session_id
WHERE e.occurred_at >= TIMESTAMPTZ '2022-01-01 00:00:00+00'
