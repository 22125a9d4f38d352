-- The weather of each station and hour in whole numbers: precip in hundredths of an inch, wind in knots.
-- The stations measure whole knots, and the table has miles per hour. One row of February says 911 knots.
select
  origin, time_hour,
  round(precip * 100)::integer as precip,
  case when wind_speed / 1.15078 < 200 then round(wind_speed / 1.15078)::integer end as wind,
  case when precip > 0 then 'rainy' when precip is not null then 'dry' end as sky
from weather
