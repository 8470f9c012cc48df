-- Both revisions have been applied, and some people have given their phone and their city since.
UPDATE users SET phone = '555 01' || id WHERE id % 3 = 1;
UPDATE users SET city = 'Bergen' WHERE id % 5 = 1;
