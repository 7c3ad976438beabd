-- The daily figures by month; an average of averages would be wrong, so it is taken from the sums.
{{ config(interval='month', event_time='month') }}

select
    cast(date_trunc('month', day) as date) as month,
    carrier,
    origin,
    sum(flights) as flights,
    sum(departed) as departed,
    sum(dep_delay_sum) as dep_delay_sum,
    {{ average('dep_delay_sum', 'departed') }} as dep_delay_avg
from {{ ref('delays_daily') }}
group by 1, 2, 3
