-- The result is the last word of an answer, without marks around it.
select *, lower(trim(regexp_extract(answer, '(\S+)\s*$', 1), '.,!:*''"`')) = lower(expected) as is_right
from answers
