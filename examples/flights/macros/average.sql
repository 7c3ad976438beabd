{# The average that a sum and a count, added up over rows, have; NULL where nothing was counted. #}
{% macro average(total, number) -%}
    cast(sum({{ total }}) as double) / nullif(sum({{ number }}), 0)
{%- endmacro %}
