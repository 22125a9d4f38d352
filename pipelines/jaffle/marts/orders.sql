-- A row for each order: what it costs, and what has been paid by each method.
with costs as (
  select order_id, sum(quantity * price) as total from stg_items group by order_id
), paid as (
  select order_id,
    sum(amount) as paid,
    sum(amount) filter (method = 'card') as card,
    sum(amount) filter (method = 'coupon') as coupon,
    sum(amount) filter (method = 'gift_card') as gift_card,
    sum(amount) filter (method = 'transfer') as transfer
  from stg_payments group by order_id
)
select order_id, customer_id, ordered_on, status, total,
  coalesce(paid, 0) as paid,
  coalesce(card, 0) as card,
  coalesce(coupon, 0) as coupon,
  coalesce(gift_card, 0) as gift_card,
  coalesce(transfer, 0) as transfer
from stg_orders left join costs using (order_id) left join paid using (order_id)
order by order_id
