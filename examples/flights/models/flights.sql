-- Every scheduled departure. A cancelled one has no departure time.
{{ config(interval='day', event_time='time_hour') }}

select
    time_hour,
    carrier,
    flight,
    tailnum,
    origin,
    dest,
    sched_dep_time,
    dep_time,
    dep_delay,
    sched_arr_time,
    arr_time,
    arr_delay,
    air_time,
    distance,
    dep_time is null as cancelled
from {{ source('raw', 'flights') }}
