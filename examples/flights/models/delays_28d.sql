-- For each day the figures of the 28 days that end with it.
{{ config(interval='day', event_time='day', reads={'delays_daily': 'last 28 days'}) }}

select
    date '{{ interval.start | date }}' as day,
    origin,
    carrier,
    sum(flights) as flights,
    sum(departed) as departed,
    {{ average('dep_delay_sum', 'departed') }} as dep_delay_avg
from {{ ref('delays_daily') }}
group by origin, carrier
