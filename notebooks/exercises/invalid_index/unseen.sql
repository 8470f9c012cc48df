-- More people signed up twice that night; the index is not looked at while it is INVALID, so they could.
INSERT INTO users (id, name, email, age)
SELECT 8000 + number * 13, name, email, age
  FROM (SELECT *, row_number() OVER (ORDER BY id DESC) AS number FROM users WHERE id < 6000) AS late
 WHERE number IN (2, 3, 40, 400, 900);
-- These are other emails: only letters of another size, or a blank, tell them apart.
INSERT INTO users (id, name, email, age)
SELECT 23000 + number, name, CASE number WHEN 1 THEN upper(email) WHEN 2 THEN email || ' ' ELSE initcap(email) END, age
  FROM (SELECT *, row_number() OVER (ORDER BY id DESC) AS number FROM users WHERE id < 6000) AS late
 WHERE number IN (1, 2, 4, 5);
-- Somebody who signed up twice has changed their name since, so the first row stands behind the second one on disk.
UPDATE users SET name = name || ' ' WHERE id IN (SELECT min(id) FROM users GROUP BY email HAVING count(*) > 1);
SELECT setval(pg_get_serial_sequence('users', 'id'), max(id) + 31) FROM users;
