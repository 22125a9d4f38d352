-- What the models have found against what is known, as shares from 0 to 1.
-- A copy is right if it is found as a copy of the very letter that it repeats.
with known as (
    select
        tickets.language = truth.language as same_language,
        queue = team as same_team, -- null for letters that no team gets
        copy_of,
        repeats
    from tickets join truth using (id)
)
select
    avg(same_language::int) as languages,
    avg(same_team::int) as teams,
    count(*) filter (copy_of = repeats) / nullif(count(repeats), 0) as copies_found,
    count(*) filter (copy_of = repeats) / nullif(count(copy_of), 0) as copies_right
from known
