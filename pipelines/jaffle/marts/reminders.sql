-- Who has not paid enough, and has had time. The last day of the data is today, so that the answer is always the same.
select order_id, customer_id, name, ordered_on, total - paid as due
from orders join stg_customers using (customer_id)
where paid < total and status = 'completed'
  and ordered_on <= (select max(ordered_on) from orders) - $patience::int
order by due desc, order_id
