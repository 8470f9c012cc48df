-- What other hands typed, a word that only ends like the one in question, and orders that have the new word already.
UPDATE orders SET status = other.status
  FROM (SELECT id, row_number() OVER (ORDER BY id DESC) AS number FROM orders) AS late
  JOIN (VALUES (4, 'COMPLETE'), (17, '  complete'), (118, 'complete   '), (319, 'comPlete'), (6, 'incomplete'),
               (223, 'completed'), (224, 'completed'), (401, 'completed'), (522, 'completed'))
       AS other (number, status) USING (number)
 WHERE orders.id = late.id;
