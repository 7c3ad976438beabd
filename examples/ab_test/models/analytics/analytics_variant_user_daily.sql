-- Events before the user was given a variant tell nothing about it.
with event as (

    select
        dim_user.variant,
        dim_user.user_id,
        cast(fact_user_event.event_at as date) as event_day,
        dim_user.age_band,
        dim_user.gender,
        fact_user_event.event_type,
        fact_user_event.item_id,
        fact_user_event.amount
    from {{ ref('fact_user_event') }} as fact_user_event
    inner join {{ ref('dim_user') }} as dim_user
        on fact_user_event.user_id = dim_user.user_id
        and fact_user_event.event_at >= dim_user.assigned_at

)

select
    variant,
    user_id,
    event_day,
    age_band,
    gender,
    count(distinct item_id) as items,
    count(distinct case when event_type = 'click' then item_id end) as clicked_items,
    count(case when event_type = 'purchase' then 1 end) as purchases,
    coalesce(sum(case when event_type = 'purchase' then amount end), 0) as revenue
from event
group by 1, 2, 3, 4, 5
