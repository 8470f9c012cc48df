-- The shop's rows for grading, which no learner has seen: the same ones on every server. No random(), no now().
-- :users, :products and :orders are the numbers of rows. Each is a prime, so that n times a constant, modulo the
-- number, is a shuffle.
--
-- Exercises give these promises, so they hold here too: the ids 1 to 100 are there, every age is a number and none
-- is NULL, no email comes twice, every price is above zero, and an order has one of four statuses.
-- All else differs from data.sql: beyond 100 there are gaps between ids, and ids far above the number of rows; the
-- rows are on disk in another order than their ids; times do not follow ids; texts have capitals, quotes, umlauts,
-- and any length up to their column's limit.

INSERT INTO users (id, name, email, age, created_at)
SELECT CASE WHEN n <= 100 THEN n ELSE n + (n - 94) / 7 * 2 + (n + 10) / 130 * 673 END,
       CASE n % 101 WHEN 13 THEN 'Ó'
                    WHEN 37 THEN rpad(first, 100, ' de la Cruz y ' || last)
                    WHEN 59 THEN 'van ''t ' || last || ', "' || first || '"'
                    WHEN 83 THEN '  ' || first || '   ' || last
                    ELSE first || ' ' || last END,
       CASE n % 101 WHEN 37 THEN rpad('a', 243 - length(n::text), '.long') || n || '@example.org'
                    WHEN 41 THEN n || '@EXAMPLE.ORG'
                    ELSE replace(first, ' ', '_') || '+' || n || '@Example.org' END,
       CASE n % 97 WHEN 11 THEN '7' WHEN 29 THEN '103' ELSE (16 + n * 31 % 73)::text END,
       timestamp '2023-02-27 22:41:07.25' + n * 389 % :users * interval '5 hours 7 minutes 13.5 seconds'
  FROM generate_series(1, :users) AS n,
       LATERAL (SELECT (ARRAY['Zoë', 'D''Angelo', 'Jürgen', 'Björn', 'Ana María', 'Bo', 'Æsa', 'Siân', 'Renée', 'Nils',
                              'François', 'Ib', 'Þóra'])[1 + n % 13],
                       (ARRAY['O''Brien', 'Müller-Lüdenscheidt', 'Ng', 'Nuñez', 'MacLeod', 'García', 'Strauß', 'Ek',
                              'Ýmir', 'de Vries', 'Å'])[1 + n % 11]) AS person (first, last)
 ORDER BY n * 367 % :users;

INSERT INTO products (id, name, price)
SELECT CASE WHEN n <= 100 THEN n ELSE n + (n - 98) / 3 * 4 + (n + 100) / 200 * 411 END,
       CASE n % 89 WHEN 17 THEN rpad('Über-', 100, thing || ' ')
                   WHEN 31 THEN 'X'
                   ELSE kind || ' ' || thing || CASE WHEN n % 3 = 0 THEN '' ELSE ' No. ' || n END END,
       CASE WHEN n % 8 = 3 THEN (ARRAY[0.01, 0.29, 0.57, 1.15, 4.35, 8.20, 19.99, 1001.01, 98765.43])[1 + n % 9]
            ELSE round((n * 7919 % 123457 + 1) / 100.0, 2) END
  FROM generate_series(1, :products) AS n,
       LATERAL (SELECT (ARRAY['"Deluxe"', '100 %', 'cheap', 'GRÜN', 'l''Été'])[1 + n % 5],
                       (ARRAY['Teekanne', 'crêpe pan', 'SIEVE', 'Messer, klein', 'whisk', 'MÜSLI bowl', 'jug'])[1 + n % 7]
               ) AS article (kind, thing)
 ORDER BY n * 401 % :products;

-- Between the gaps is a stretch of 300 ids without one, and all of its orders are complete.
INSERT INTO orders (id, user_id, status, total, created_at)
SELECT CASE WHEN n <= 100 THEN n
            ELSE n + (n + 199) / 300 * 353 + greatest(0, n - 700) / 9 * 2 END,
       buyer.id,
       CASE WHEN n BETWEEN 101 AND 400 THEN 'complete'
            WHEN n % 23 IN (1, 4, 9) THEN 'pending'
            WHEN n % 23 IN (2, 17) THEN 'processing'
            WHEN n % 23 IN (5, 11) THEN 'cancelled'
            ELSE 'complete' END,
       CASE WHEN n % 7 = 2 THEN (ARRAY[0.05, 0.29, 1.10, 4.35, 8.20, 19.99, 33.33, 0.00, 1234.56, 98765.43])[1 + n % 10]
            ELSE round((n::bigint * 104729 % 1234567 + 1) / 100.0, 2) END,
       timestamp '2023-03-26 01:59:59.75' + n * 577 % :orders * interval '1 day 1 hour 3 minutes 0.5 seconds'
  FROM generate_series(1, :orders) AS n
  JOIN (SELECT id, row_number() OVER (ORDER BY id) AS number FROM users) AS buyer
    ON buyer.number = 1 + n::bigint * n * 211 % :users
 ORDER BY n * 773 % :orders;

-- The next ids leave gaps as well.
SELECT setval(pg_get_serial_sequence('users', 'id'), max(id) + 87) FROM users;
SELECT setval(pg_get_serial_sequence('products', 'id'), max(id) + 1203) FROM products;
SELECT setval(pg_get_serial_sequence('orders', 'id'), max(id) + 412) FROM orders;
