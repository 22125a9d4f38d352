-- What was ordered, with today's price for one: null where there is no such product.
select order_id, sku, quantity, (cents / 100)::decimal(10, 2) as price
from raw_items left join products using (sku)
order by order_id, sku
