-- User profiles out of PostgreSQL; see sessions.sql. favourite_genres is an array of texts, or
-- JSON text where a database has no arrays.
SELECT
    u.id AS user_id,
    ARRAY_AGG(g.name ORDER BY g.name) FILTER (WHERE g.name IS NOT NULL) AS favourite_genres,
    u.is_premium AS premium_user
FROM app_user AS u
LEFT JOIN app_user_genre AS ug ON ug.user_id = u.id
LEFT JOIN genre AS g ON g.id = ug.genre_id
GROUP BY u.id, u.is_premium
