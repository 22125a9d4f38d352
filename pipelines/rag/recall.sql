-- For each number of lists that are looked at: the share of all passages that are compared with a question, the share of
-- the passages of the exact search that are found, and the share of the questions whose page is among the found ones.
-- The row without a number is the exact search.
with hits as (
    select probes, seen, question, passage, page from found
    union all
    select null, 1.0, question, passage, page from exact
),
per_question as (
    select
        probes,
        any_value(seen) as seen,
        count(*) filter (passage in (select passage from exact where exact.question = hits.question)) as same,
        bool_or(hits.page = questions.page) as page_found
    from hits join questions on question = questions.text
    group by probes, question
)
select
    probes,
    round(any_value(seen), 3) as seen,
    round(sum(same) / (select count(*) from exact), 3) as recall,
    round(avg(page_found::int), 3) as pages_found
from per_question
group by probes
order by probes nulls last
