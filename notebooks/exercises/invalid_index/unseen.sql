-- More people signed up twice that night; the index is not looked at while it is INVALID, so they could.
INSERT INTO users (id, name, email, age)
SELECT 8000 + number * 13, name, email, age
  FROM (SELECT *, row_number() OVER (ORDER BY id DESC) AS number FROM users WHERE id < 6000) AS late
 WHERE number IN (2, 3, 40, 400, 900);
SELECT setval(pg_get_serial_sequence('users', 'id'), max(id) + 31) FROM users;
