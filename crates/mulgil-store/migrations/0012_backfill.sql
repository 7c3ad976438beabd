-- Backfills: what a person asked for, and how far it is.
create table backfill (
    id integer primary key not null,
    terms text not null,
    state text not null,
    seq integer not null,
    made_at integer not null,
    ended_at integer
) strict;
create index backfill_open on backfill (id) where ended_at is null;

-- What a backfill has of each instance. `place` is its place in line: what is read goes before its readers.
create table backfill_part (
    backfill integer not null,
    instance text not null,
    place integer not null,
    document text not null,
    is_over integer not null default 0,
    primary key (backfill, instance)
) strict, without rowid;

-- The backfill that began a run.
alter table flow_run add column backfill integer;
create index flow_run_backfill on flow_run (backfill) where backfill is not null and ended_at is null;
