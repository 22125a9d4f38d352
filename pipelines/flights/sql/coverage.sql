-- What the joins did not find, by table: distinct keys, flights, and how many of these arrived.
-- The columns that are looked at are never null in the tables.
select 'weather' as "table", count(distinct (origin, time_hour)) as keys, count(*) as flights, count(arr_delay) as arrived
from joined where sky is null
union all
select 'planes', count(distinct tailnum), count(*), count(arr_delay) from joined where seats is null
union all
select 'airports', count(distinct dest), count(*), count(arr_delay) from joined where airport is null
union all
select 'airlines', count(distinct carrier), count(*), count(arr_delay) from joined where airline is null
