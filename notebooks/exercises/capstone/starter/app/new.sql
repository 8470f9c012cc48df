-- read
SELECT id, user_id, status, total_cents, currency, created_at FROM orders WHERE id = :id;

-- write
UPDATE orders SET total_cents = total_cents WHERE id = :id;

-- insert
INSERT INTO orders (user_id, total_cents, currency)
SELECT user_id, total_cents, currency FROM orders WHERE id = :id RETURNING id;
