-- A row for each paid order.
select
    orders.id,
    strftime(day, '%Y-%m') as month,
    customers.name,
    customers.country,
    orders.amount
from orders
join customers on customers.id = orders.customer
where orders.status = 'paid'
order by orders.id
