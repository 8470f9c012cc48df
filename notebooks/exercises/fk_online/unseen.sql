-- Reviews of products beyond the first hundred, with ids that leave gaps.
INSERT INTO reviews (id, product_id, body)
SELECT 31000 + number * 17, id, CASE number % 5 WHEN 0 THEN '' WHEN 1 THEN 'It''s "GOOD".' ELSE 'Größe passt ' || number END
  FROM (SELECT id, row_number() OVER (ORDER BY id DESC) AS number FROM products) AS late
 WHERE number <= 300
 ORDER BY number * 7 % 300;
SELECT setval(pg_get_serial_sequence('reviews', 'id'), max(id) + 90) FROM reviews;
