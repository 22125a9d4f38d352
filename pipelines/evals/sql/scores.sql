-- A question without an answer counts as one that is not right.
with failed as (select model, prompt, count(*) as failed from failures group by all)
select
  g.model,
  g.prompt,
  count(*) + coalesce(any_value(f.failed), 0) as questions,
  coalesce(any_value(f.failed), 0) as failed,
  count(*) filter (finish = 'length') as cut,
  count(*) filter (is_right) / (count(*) + coalesce(any_value(f.failed), 0)) as accuracy,
  sum(tokens_in)::bigint as tokens_in,
  sum(tokens_out)::bigint as tokens_out,
  round((sum(tokens_in) * any_value(dollars_in) + sum(tokens_out) * any_value(dollars_out)) / 1e6, 6) as dollars,
  round(median(seconds), 3) as seconds
from graded g
join prices p on p.id = g.model
left join failed f using (model, prompt)
group by all
order by accuracy desc, dollars
