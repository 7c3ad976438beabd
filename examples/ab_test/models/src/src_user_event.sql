with user_event as (

    select * from {{ ref('user_event') }}

)

select
    cast(event_id as bigint) as event_id,
    cast(user_id as bigint) as user_id,
    cast(event_at as timestamp) as event_at,
    event_type,
    item_id,
    cast(amount as decimal(12, 2)) as amount
from user_event
