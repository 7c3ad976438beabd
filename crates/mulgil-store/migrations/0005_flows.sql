-- Flows. Instances of flows stand in `node` and `cover` beside those of nodes, under the name `flow:NAME`:
-- what is filled of one is what walks over it have done.

-- Every tick of a schedule that has come, and what became of it. Of several that have one fate, the last.
create table tick (
    owner text not null,
    schedule text not null,
    scheduled_at integer not null,
    first_at integer not null,
    fate text not null,
    into_at integer,
    decided_at integer not null,
    run integer,
    primary key (owner, schedule, scheduled_at)
) strict, without rowid;
-- Ticks whose runs have not begun.
create index tick_open on tick (owner, scheduled_at) where fate = 'runs' and run is null;

-- The definitions that runs were begun with, by their fingerprint.
create table flow_version (
    fingerprint text primary key not null,
    definition text not null
) strict, without rowid;

-- Runs that are walks over a flow.
create table flow_run (
    run integer primary key not null,
    flow text not null,
    scheduled_at integer,
    start_at integer not null,
    end_at integer not null,
    version text not null,
    params text not null,
    is_cancelled integer not null default 0,
    seq integer not null,
    ended_at integer
) strict;
-- One tick gives one run of an interval.
create unique index flow_run_tick on flow_run (flow, scheduled_at, start_at) where scheduled_at is not null;
-- One run at a time is for an interval; those of a flow without any are for all of time.
create unique index flow_run_active on flow_run (flow, start_at, end_at)
    where ended_at is null and end_at < 9223372036854775807;

-- How the steps of open and ended walks stand.
create table flow_step (
    run integer not null,
    step text not null,
    progress text not null,
    output text,
    primary key (run, step)
) strict, without rowid;
