-- Ids are no count: this order's is far above the number of orders.
INSERT INTO orders (id, user_id, status, total, created_at)
SELECT 23017, max(user_id), 'pending', 17.29, timestamp '2026-02-28 23:59:59' FROM orders;
SELECT setval(pg_get_serial_sequence('orders', 'id'), max(id) + 12) FROM orders;
