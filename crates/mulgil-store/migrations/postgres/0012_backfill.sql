-- Backfills: what a person asked for, and how far it is.
create table backfill (
    id bigint primary key not null,
    terms text collate "C" not null,
    state text collate "C" not null,
    seq bigint not null,
    made_at bigint not null,
    ended_at bigint
);
create index backfill_open on backfill (id) where ended_at is null;

-- What a backfill has of each instance. `place` is its place in line: what is read goes before its readers.
create table backfill_part (
    backfill bigint not null,
    instance text collate "C" not null,
    place bigint not null,
    document text collate "C" not null,
    is_over bigint not null default 0,
    primary key (backfill, instance)
);

-- The backfill that began a run.
alter table flow_run add column backfill bigint;
create index flow_run_backfill on flow_run (backfill) where backfill is not null and ended_at is null;
