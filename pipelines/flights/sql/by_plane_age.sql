-- Arrival delay by age of the plane: the first of five years (0, 5, 10 ...), null if unknown.
select
  (year - built) // 5 * 5 as age, count(*) as flights, avg(arr_delay) as mean, quantile_disc(arr_delay, 0.5) as median,
  quantile_disc(arr_delay, 0.9) as p90, avg((arr_delay >= 15)::integer) as late
from joined
where arr_delay is not null
group by age
order by age
