-- Flows. Instances of flows stand in `node` and `cover` beside those of nodes, under the name `flow:NAME`:
-- what is filled of one is what walks over it have done.

-- Every tick of a schedule that has come, and what became of it. Of several that have one fate, the last.
create table tick (
    owner text collate "C" not null,
    schedule text collate "C" not null,
    scheduled_at bigint not null,
    first_at bigint not null,
    fate text collate "C" not null,
    into_at bigint,
    decided_at bigint not null,
    run bigint,
    primary key (owner, schedule, scheduled_at)
);
-- Ticks whose runs have not begun.
create index tick_open on tick (owner, scheduled_at) where fate = 'runs' and run is null;

-- The definitions that runs were begun with, by their fingerprint.
create table flow_version (
    fingerprint text collate "C" primary key not null,
    definition text collate "C" not null
);

-- Runs that are walks over a flow.
create table flow_run (
    run bigint primary key not null,
    flow text collate "C" not null,
    scheduled_at bigint,
    start_at bigint not null,
    end_at bigint not null,
    version text collate "C" not null,
    params text collate "C" not null,
    is_cancelled bigint not null default 0,
    seq bigint not null,
    ended_at bigint
);
-- One tick gives one run of an interval.
create unique index flow_run_tick on flow_run (flow, scheduled_at, start_at) where scheduled_at is not null;
-- One run at a time is for an interval; those of a flow without any are for all of time.
create unique index flow_run_active on flow_run (flow, start_at, end_at)
    where ended_at is null and end_at < 9223372036854775807;

-- How the steps of open and ended walks stand.
create table flow_step (
    run bigint not null,
    step text collate "C" not null,
    progress text collate "C" not null,
    output text collate "C",
    primary key (run, step)
);
