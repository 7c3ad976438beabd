-- All revenue of a user in a variant, from the day of the variant on, is in the table of the days.
with counted as (

    select coalesce(sum(revenue), 0) as revenue
    from {{ ref('analytics_variant_user_daily') }}

),

expected as (

    select coalesce(sum(fact_user_event.amount), 0) as revenue
    from {{ ref('fact_user_event') }} as fact_user_event
    inner join {{ ref('src_user_variant') }} as user_variant
        on fact_user_event.user_id = user_variant.user_id
    where fact_user_event.event_at >= user_variant.assigned_at

)

select
    counted.revenue as counted,
    expected.revenue as expected
from counted
cross join expected
where counted.revenue <> expected.revenue
