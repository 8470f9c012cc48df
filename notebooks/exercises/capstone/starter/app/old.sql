-- read
SELECT id, user_id, status, total, created_at FROM orders WHERE id = :id;

-- write
UPDATE orders SET total = total WHERE id = :id;

-- insert
INSERT INTO orders (user_id, total) SELECT user_id, total FROM orders WHERE id = :id RETURNING id;
