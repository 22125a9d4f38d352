-- Departure delay by date, of the flights that departed.
select
  date, count(*) as flights, avg(dep_delay) as mean, quantile_disc(dep_delay, 0.5) as median,
  quantile_disc(dep_delay, 0.9) as p90, avg((dep_delay >= 15)::integer) as late
from joined
where dep_delay is not null
group by date
order by date
