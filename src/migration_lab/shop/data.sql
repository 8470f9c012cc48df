-- The shop's rows: the same ones on every server, at every size. No random(), no now().
-- :users, :products and :orders are the numbers of rows.

INSERT INTO users (name, email, age, created_at)
SELECT first || ' ' || last,
       lower(first) || '.' || lower(last) || '.' || n || '@example.com',
       (18 + n * 7 % 63)::text,
       timestamp '2024-03-04 09:00:00' + n * interval '53 seconds'
  FROM generate_series(1, :users) AS n,
       LATERAL (SELECT (ARRAY['Ann', 'Ben', 'Chloe', 'Dev', 'Ema', 'Femi', 'Gus', 'Hana', 'Ivo', 'Jun',
                              'Kai', 'Lea', 'Mia', 'Noor', 'Omar', 'Pia', 'Quin', 'Rosa', 'Sam', 'Tara'])[1 + n % 20],
                       (ARRAY['Adams', 'Baker', 'Costa', 'Diaz', 'Evans', 'Fischer', 'Garcia', 'Haddad', 'Ito',
                              'Jones', 'Khan', 'Lopez', 'Meyer', 'Nowak', 'Okoye', 'Park', 'Rossi', 'Smith',
                              'Tanaka'])[1 + n % 19]) AS person (first, last)
 ORDER BY n;

INSERT INTO products (name, price)
SELECT initcap(colour || ' ' || thing) || ' ' || n, round(((n * 37 % 9900) + 99) / 100.0, 2)
  FROM generate_series(1, :products) AS n,
       LATERAL (SELECT (ARRAY['amber', 'blue', 'coral', 'dark', 'ebony', 'fern', 'green'])[1 + n % 7],
                       (ARRAY['apron', 'bowl', 'cup', 'dish', 'fork', 'glass', 'jug', 'kettle',
                              'ladle', 'mug', 'pan'])[1 + n % 11]) AS article (colour, thing)
 ORDER BY n;

-- A few people order much, most of them little; one order in a hundred is cancelled.
INSERT INTO orders (user_id, status, total, created_at)
SELECT 1 + (n::bigint * n * 7919 % :users)::int,
       CASE WHEN n % 100 = 0 THEN 'cancelled'
            WHEN n % 20 = 1 THEN 'pending'
            WHEN n % 20 = 2 THEN 'processing'
            ELSE 'complete' END,
       round(((n::bigint * 131 % 49000) + 500) / 100.0, 2),
       timestamp '2024-09-02 11:15:00' + n * interval '11 seconds'
  FROM generate_series(1, :orders) AS n
 ORDER BY n;
