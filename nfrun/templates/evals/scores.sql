-- Accuracy and cost of each model and prompt. An answer is right if its last word is.
with graded as (
    select
        answers.*,
        regexp_extract(answer, '(\w+)\W*$', 1) = questions.expected as is_right
    from answers
    join questions using (id)
)
select
    graded.model,
    graded.prompt,
    count(*) as answers,
    round(count(*) filter (is_right) / (select count(*) from questions), 3) as accuracy,
    round(sum(tokens_in * dollars_in + tokens_out * dollars_out) / 1e6, 6) as dollars
from graded
join prices on prices.id = graded.model
group by graded.model, graded.prompt
order by accuracy desc, dollars
