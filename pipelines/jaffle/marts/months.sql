-- A row for each month. `returned` is the share (0 to 1) of orders that came back.
select strftime(ordered_on, '%Y-%m') as month,
  count(*) as orders,
  count(distinct customer_id) as customers,
  sum(paid) as paid,
  round(avg((status = 'returned')::int), 3) as returned
from orders
group by month
order by month
