-- A model is one `select`; its file's name is the table's name.
--
--   interval    one day after the other is filled, and remembered: those that are missing are due
--   event_time  the column of the result that says to which day a row belongs
--
-- `source` and `ref` give each day its own rows, so nothing here says which day it is. Change the query, and
-- `mulgil plan` shows what is due because of that; change a comment, and nothing is.
{{ config(interval='day', event_time='day') }}

select cast(visited_at as date) as day, page, count(*) as visits, count(distinct visitor) as visitors
from {{ source('raw', 'visits') }}
group by 1, 2
