-- A row for each day that has visits. The axis gives days as texts: here they become dates.
-- `of_week` is the mean of the days of the week that ends with it.
select day::date as day, sum(visits)::bigint as visits,
  round(avg(sum(visits)) over (order by day::date range between interval 6 days preceding and current row), 1) as of_week
from pages
group by day
order by day
