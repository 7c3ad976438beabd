-- Each departure with the weather of its airport in the hour it was due; without a reading, NULL.
{{ config(interval='day', event_time='time_hour') }}

select
    flights.time_hour,
    flights.carrier,
    flights.flight,
    flights.tailnum,
    flights.origin,
    flights.dest,
    flights.dep_delay,
    flights.arr_delay,
    flights.cancelled,
    weather.temp,
    weather.wind_speed,
    weather.wind_gust,
    weather.precip,
    weather.pressure,
    weather.visib
from {{ ref('flights') }} as flights
left join {{ ref('weather') }} as weather
    on weather.origin = flights.origin
    and weather.time_hour = flights.time_hour
