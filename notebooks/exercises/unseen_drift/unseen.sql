-- Coupons as models.py allows them: each unused code once, used ones as often as they were used, but not twice yet.
INSERT INTO coupons (id, code, percent, used_at)
VALUES (40213, 'Winter''25', 90, NULL), (7, 'WINTER''25', 1, '2026-01-31 23:59:59+00'), (8, 'ÄPFEL', 33, NULL),
       (1900, 'ÄPFEL', 33, '2025-12-24 18:00:00+00'), (12, '', 10, NULL);
SELECT setval(pg_get_serial_sequence('coupons', 'id'), max(id) + 5) FROM coupons;
