-- The columns that are needed, the local date, and whether the flight was cancelled.
-- The date is that of the local calendar: in the evening, time_hour, which is UTC, is on the next day.
select
  year, hour, origin, dest, carrier, tailnum, distance, dep_delay, arr_delay, time_hour,
  make_date(year, month, day) as date,
  dep_time is null as cancelled
from flights
