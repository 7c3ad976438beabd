with user_variant as (

    select * from {{ ref('user_variant') }}

)

select
    cast(user_id as bigint) as user_id,
    variant,
    cast(assigned_at as timestamp) as assigned_at
from user_variant
