-- The weather by airport and hour. One row of the year claims a wind of 1,048 mph; that is no wind.
{{ config(interval='day', event_time='time_hour') }}

select
    time_hour,
    origin,
    temp,
    dewp,
    humid,
    wind_dir,
    case when wind_speed < 250 then wind_speed end as wind_speed,
    wind_gust,
    precip,
    pressure,
    visib
from {{ source('raw', 'weather') }}
