-- Arrival delay by dest (three letters) and airport (its name, null if unknown).
select
  dest, airport, count(*) as flights, avg(arr_delay) as mean, quantile_disc(arr_delay, 0.5) as median,
  quantile_disc(arr_delay, 0.9) as p90, avg((arr_delay >= 15)::integer) as late
from joined
where arr_delay is not null
group by dest, airport
order by dest, airport
