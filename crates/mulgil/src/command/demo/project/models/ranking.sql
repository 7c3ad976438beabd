-- The stories, by what their readers paid.
{{ config(materialized='table') }}

with sales as (
    select episode_id, sum(amount) as won
    from {{ ref('sales_daily') }}
    group by episode_id
),
reads as (
    select episode_id, sum(reads) as reads
    from {{ ref('reads_daily') }}
    group by episode_id
)
select
    rank() over (order by sum(sales.won) desc) as place,
    episodes.story_ko,
    episodes.story_en,
    episodes.genre,
    sum(reads.reads) as reads,
    sum(sales.won) as won
from {{ ref('episodes') }} as episodes
left join reads on reads.episode_id = episodes.episode_id
left join sales on sales.episode_id = episodes.episode_id
group by episodes.story_ko, episodes.story_en, episodes.genre
