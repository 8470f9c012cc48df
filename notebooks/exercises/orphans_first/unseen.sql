-- More reviews of users who have left and of others, with ids that leave gaps. Some of them say the same, or nothing.
INSERT INTO reviews (id, user_id, body)
SELECT 7000 + number * 29, CASE WHEN number % 4 = 0 THEN id + 100000 ELSE id END,
       CASE number % 5 WHEN 0 THEN '' WHEN 1 THEN 'Review 7' ELSE 'Don''t. "NIE WIEDER", Größe ' || number END
  FROM (SELECT id, row_number() OVER (ORDER BY id DESC) AS number FROM users) AS late
 WHERE number <= 200
 ORDER BY number * 7 % 200;
-- A user's whole number may be small: these have left too.
INSERT INTO reviews (id, user_id, body)
SELECT 40213 + number, (SELECT max(id) FROM users WHERE id < 1000) + number, 'Gone' FROM generate_series(1, 3) AS number;
-- One who has left wrote several, among them a long one.
INSERT INTO reviews (id, user_id, body)
SELECT 51007 + number * 3, 900017, CASE number WHEN 2 THEN repeat('Once more, with feeling. ', 40) ELSE 'No. ' || number END
  FROM generate_series(1, 4) AS number;
SELECT setval(pg_get_serial_sequence('reviews', 'id'), max(id) + 55) FROM reviews;
