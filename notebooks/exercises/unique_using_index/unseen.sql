-- Products beyond the third, of the same orders and of others, and more than one piece.
INSERT INTO order_items (id, order_id, product_id, quantity)
SELECT 40213 + number * 3, id, 4 + number % 40, 1 + number % 9
  FROM (SELECT id, row_number() OVER (ORDER BY id DESC) AS number FROM orders) AS late
 WHERE number <= 500
 ORDER BY number * 7 % 500;
SELECT setval(pg_get_serial_sequence('order_items', 'id'), max(id) + 12) FROM order_items;
