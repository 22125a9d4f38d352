-- Arrival delay by scheduled hour of departure (0 to 23, local time).
select
  hour, count(*) as flights, avg(arr_delay) as mean, quantile_disc(arr_delay, 0.5) as median,
  quantile_disc(arr_delay, 0.9) as p90, avg((arr_delay >= 15)::integer) as late
from joined
where arr_delay is not null
group by hour
order by hour
