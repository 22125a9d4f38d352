-- A row for each customer, those without an order too.
select customer_id, name, joined_on,
  min(ordered_on) as first_order,
  max(ordered_on) as last_order,
  count(order_id) as orders,
  coalesce(sum(paid), 0) as paid
from stg_customers left join orders using (customer_id)
group by all
order by paid desc, customer_id
