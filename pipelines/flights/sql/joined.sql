-- Each flight with its weather, plane, destination and airline. Columns without a match are null.
select clean.*, precip, wind, sky, planes.year as built, seats, airports.name as airport, airlines.name as airline
from clean
left join hourly on hourly.origin = clean.origin and hourly.time_hour = clean.time_hour
left join planes on planes.tailnum = clean.tailnum
left join airports on airports.faa = clean.dest
left join airlines on airlines.carrier = clean.carrier
