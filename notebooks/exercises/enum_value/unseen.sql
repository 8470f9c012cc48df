-- Both values are in use, of the first ten orders too.
UPDATE orders SET delivery = 'courier' WHERE id % 3 = 0;
