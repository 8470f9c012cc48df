-- More of what people type, of users whose ids the learner has not seen.
UPDATE users SET age = typed.age
  FROM (SELECT id, row_number() OVER (ORDER BY id DESC) AS number FROM users) AS late
  JOIN (VALUES (2, 'forty'), (3, '007'), (5, NULL), (8, '  61 '), (13, '12 3'), (21, '99999999999'), (34, ''),
               (55, '3,5'), (89, '18+'), (144, '    '), (233, NULL), (377, '42 years')) AS typed (number, age) USING (number)
 WHERE users.id = late.id;
