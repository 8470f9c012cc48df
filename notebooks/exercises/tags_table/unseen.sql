-- More tags, fewer and none; capitals, quotes and commas in them; one tag twice that is not next to itself.
UPDATE products SET tags = ARRAY[]::varchar[] WHERE id % 20 = 10;
UPDATE products SET tags = more.tags
  FROM (SELECT id, row_number() OVER (ORDER BY id DESC) AS number FROM products) AS late
  JOIN (VALUES (2, ARRAY['t7', 'kitchen', 'vintage']), (3, ARRAY['Kitchen', 'kitchen', 'KITCHEN']), (4, ARRAY['solo']),
               (5, ARRAY['t1', 'kitchen', 't1']), (8, ARRAY['salt, pepper', 'O''Neill', '"new"', 'größe XL', '100 %']),
               (13, ARRAY[rpad('long', 50, '-tag')]), (21, NULL), (22, ARRAY[]::varchar[]),
               (34, ARRAY['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'a'])) AS more (number, tags) USING (number)
 WHERE products.id = late.id;
