{% snapshot user_metadata_snapshot %}

{{
    config(
        unique_key='user_id',
        strategy='timestamp',
        updated_at='updated_at'
    )
}}

select * from {{ ref('src_user_metadata') }}

{% endsnapshot %}
