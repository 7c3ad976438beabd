-- Who read what on which day. One file in the place of three scheduled queries, for yesterday and the two days before.
{{ config(interval='day', event_time='day', lookback=2, settle='3d') }}

select cast(event_at as date) as day, user_id, language, episode_id, count(*) as reads
from {{ source('firebase', 'events') }}
where event_name = 'read'
group by 1, 2, 3, 4
