-- How many people read on a day, and how much.
{{ config(interval='day', event_time='day') }}

select day, language, count(distinct user_id) as readers, sum(reads) as reads
from {{ ref('reads_daily') }}
group by 1, 2
