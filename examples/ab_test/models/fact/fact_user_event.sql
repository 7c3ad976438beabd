{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='fail'
    )
}}

select
    event_id,
    user_id,
    event_at,
    event_type,
    item_id,
    amount
from {{ ref('src_user_event') }}

{% if is_incremental() %}
where event_id > (select max(event_id) from {{ this }})
{% endif %}
