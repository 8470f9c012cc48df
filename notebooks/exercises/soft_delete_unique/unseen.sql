-- More people have closed their account, at different times.
UPDATE users SET deleted_at = timestamptz '2025-06-29 00:30:00+00' + number * interval '3 days 5 hours'
  FROM (SELECT id, row_number() OVER (ORDER BY id DESC) AS number FROM users) AS late
 WHERE late.id = users.id AND number IN (2, 3, 5, 90, 400, 850);
