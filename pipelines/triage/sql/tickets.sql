-- A row per letter: who gets it, whether it is urgent, and what it is a copy of.
select
    language.id,
    text,
    language,
    coalesce(team, 'language ' || language) as queue, -- letters in other languages go to those who speak them
    similarity,
    sentiment,
    coalesce(sentiment <= $upset, false) as urgent,
    nullif(first, language.id) as copy_of,
    topic
from language
left join sentiment using (id)
left join copies using (id)
left join topics using (id)
left join routes using (id)
order by language.id
