-- More people have closed their account, at different times.
UPDATE users SET deleted_at = timestamptz '2025-06-29 00:30:00+00' + number * interval '3 days 5 hours'
  FROM (SELECT id, row_number() OVER (ORDER BY id DESC) AS number FROM users) AS late
 WHERE late.id = users.id AND number IN (2, 3, 5, 90, 400, 850);
-- Two have come back with their email, and one of them has closed that account as well, and come back once more.
INSERT INTO users (id, name, email, age, deleted_at)
SELECT 31000 + number * 10 + again, name, email, age, CASE WHEN number = 3 AND again = 1 THEN deleted_at + interval '5 days' END
  FROM (SELECT *, row_number() OVER (ORDER BY id DESC) AS number FROM users WHERE deleted_at IS NOT NULL) AS closed,
       generate_series(1, 2) AS again
 WHERE number = 2 AND again = 1 OR number = 3;
SELECT setval(pg_get_serial_sequence('users', 'id'), max(id) + 31) FROM users;
