with user_metadata as (

    select * from {{ ref('user_metadata') }}

)

select
    cast(user_id as bigint) as user_id,
    age_band,
    gender,
    cast(updated_at as timestamp) as updated_at
from user_metadata
