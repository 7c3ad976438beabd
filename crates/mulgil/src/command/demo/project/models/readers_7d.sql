-- How many people read within seven days: a day and the six before it. Somebody who came twice counts once.
{{ config(interval='day', event_time='day', reads={'reads_daily': 'last 7 days'}) }}

select date '{{ interval.start | date }}' as day, language, count(distinct user_id) as readers
from {{ ref('reads_daily') }}
group by language
