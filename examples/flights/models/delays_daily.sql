-- Departures and their delays by day, airline and airport. `day` is a date in New York.
{{ config(interval='day', event_time='day') }}

select
    cast(time_hour as date) as day,
    carrier,
    origin,
    count(*) as flights,
    count(dep_delay) as departed,
    sum(dep_delay) as dep_delay_sum,
    avg(dep_delay) as dep_delay_avg
from {{ ref('flights') }}
group by 1, 2, 3
