-- What was paid, by day and episode.
{{ config(interval='day', event_time='day') }}

select cast(paid_at as date) as day, episode_id, count(*) as sold, sum(won) as won
from {{ source('store', 'sales') }}
group by 1, 2
