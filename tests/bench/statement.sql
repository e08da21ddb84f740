\set k random(1, :n)
SELECT 1 AS c:k;
