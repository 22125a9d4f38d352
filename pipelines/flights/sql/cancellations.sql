-- By date: flights scheduled, how many of them were cancelled, and the share (0 to 1).
select
  date, count(*) as scheduled, count(*) filter (where joined.cancelled) as cancelled,
  count(*) filter (where joined.cancelled) / count(*) as share
from joined
group by date
order by date
