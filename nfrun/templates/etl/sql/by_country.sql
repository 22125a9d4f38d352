-- What each country has paid.
select
    country,
    count(*) as orders,
    round(sum(amount), 2) as amount
from sales
group by country
order by amount desc, country
