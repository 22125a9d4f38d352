-- The payments and the customers' accounts, if they do not add up to the same.
select (select sum(amount) from stg_payments) as payments, (select sum(paid) from customers) as accounts
where payments <> accounts
