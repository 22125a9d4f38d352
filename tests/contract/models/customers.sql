select c.customer_id, first_name, last_name, min(order_date) as first_order, count(order_id) as orders, sum(amount) as lifetime_value
from stg_customers c left join stg_orders using (customer_id) left join stg_payments using (order_id) group by all order by customer_id
