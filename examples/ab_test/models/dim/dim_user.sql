with user_variant as (

    select * from {{ ref('src_user_variant') }}

),

user_metadata as (

    select * from {{ ref('src_user_metadata') }}

)

select
    user_variant.user_id,
    user_variant.variant,
    user_variant.assigned_at,
    coalesce(user_metadata.age_band, 'unknown') as age_band,
    coalesce(user_metadata.gender, 'unknown') as gender
from user_variant
left join user_metadata
    on user_variant.user_id = user_metadata.user_id
