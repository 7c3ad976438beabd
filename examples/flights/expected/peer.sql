-- The tables of this example, built once by DuckDB: what a benchmark compares the first run with.
-- Run it in the example's folder: duckdb warehouse.duckdb < expected/peer.sql
set timezone = 'America/New_York';

create table flights as
select
    time_hour, carrier, flight, tailnum, origin, dest, sched_dep_time, dep_time, dep_delay,
    sched_arr_time, arr_time, arr_delay, air_time, distance, dep_time is null as cancelled
from read_csv('data/flights/*.csv.gz', header = true, delim = ',', nullstr = 'NA', types = {
    'dep_time': 'bigint', 'dep_delay': 'bigint', 'arr_time': 'bigint', 'arr_delay': 'bigint',
    'tailnum': 'varchar', 'air_time': 'bigint', 'time_hour': 'timestamptz'});

create table weather as
select
    time_hour, origin, temp, dewp, humid, wind_dir,
    case when wind_speed < 250 then wind_speed end as wind_speed,
    wind_gust, precip, pressure, visib
from read_csv('data/weather.csv.gz', header = true, delim = ',', nullstr = 'NA', types = {
    'temp': 'double', 'dewp': 'double', 'humid': 'double', 'wind_dir': 'bigint', 'wind_speed': 'double',
    'wind_gust': 'double', 'precip': 'double', 'pressure': 'double', 'visib': 'double',
    'time_hour': 'timestamptz'});

create table flights_weather as
select
    flights.time_hour, flights.carrier, flights.flight, flights.tailnum, flights.origin, flights.dest,
    flights.dep_delay, flights.arr_delay, flights.cancelled,
    weather.temp, weather.wind_speed, weather.wind_gust, weather.precip, weather.pressure, weather.visib
from flights
left join weather on weather.origin = flights.origin and weather.time_hour = flights.time_hour;

create table delays_daily as
select
    cast(time_hour as date) as day, carrier, origin, count(*) as flights, count(dep_delay) as departed,
    sum(dep_delay) as dep_delay_sum, avg(dep_delay) as dep_delay_avg
from flights
group by 1, 2, 3;

create table delays_monthly as
select
    cast(date_trunc('month', day) as date) as month, carrier, origin, sum(flights) as flights,
    sum(departed) as departed, sum(dep_delay_sum) as dep_delay_sum,
    cast(sum(dep_delay_sum) as double) / nullif(sum(departed), 0) as dep_delay_avg
from delays_daily
group by 1, 2, 3;

create table delays_28d as
select
    calendar.day, origin, carrier, sum(flights) as flights, sum(departed) as departed,
    cast(sum(dep_delay_sum) as double) / nullif(sum(departed), 0) as dep_delay_avg
from (select cast(range as date) as day from range(date '2013-01-01', date '2014-01-01', interval 1 day)) as calendar
join delays_daily on delays_daily.day between calendar.day - 27 and calendar.day
group by calendar.day, origin, carrier;
