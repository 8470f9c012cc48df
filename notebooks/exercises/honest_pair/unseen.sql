-- Products beyond the first hundred, of all four kinds: deleted with a time and without, on sale without a time and with.
UPDATE products SET is_deleted = number % 4 < 2,
                    deleted_at = CASE WHEN number % 4 IN (1, 2) THEN timestamptz '2026-01-31 23:59:59.5+00' + number * interval '7 hours' END
  FROM (SELECT id, row_number() OVER (ORDER BY id DESC) AS number FROM products) AS late
 WHERE late.id = products.id AND number <= 120 AND number % 5 <> 0;
