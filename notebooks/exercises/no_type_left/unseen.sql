INSERT INTO parcels VALUES (40213, 'large'), (7, 'small'), (1900, 'large'), (8, 'large');
