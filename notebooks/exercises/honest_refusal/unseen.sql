-- An age may be missing, and the form sends blanks and zeros along.
UPDATE users SET age = CASE number % 3 WHEN 0 THEN NULL WHEN 1 THEN '  ' || age || ' ' ELSE '0' || age END
  FROM (SELECT id, row_number() OVER (ORDER BY id DESC) AS number FROM users) AS late
 WHERE late.id = users.id AND number % 50 < 3;
