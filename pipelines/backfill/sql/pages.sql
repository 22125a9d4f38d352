-- A row for each page of the day: how often it was seen, by how many, and how long half of them waited at most.
select page, count(*) as visits, count(distinct visitor) as visitors, median(ms) as median_ms
from visits
group by page
order by page
