select order_id, total, paid from this where paid > total
