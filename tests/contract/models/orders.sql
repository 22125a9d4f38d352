select order_id, customer_id, order_date, status,
  coalesce(sum(amount) filter (payment_method = 'credit_card'), 0) as credit_card_amount,
  coalesce(sum(amount) filter (payment_method = 'coupon'), 0) as coupon_amount,
  coalesce(sum(amount) filter (payment_method = 'bank_transfer'), 0) as bank_transfer_amount,
  coalesce(sum(amount) filter (payment_method = 'gift_card'), 0) as gift_card_amount,
  coalesce(sum(amount), 0) as amount
from stg_orders left join stg_payments using (order_id) group by all order by order_id
