-- The ledger. `fact` is the record, only ever added to. Every other table but `attempt_log` is
-- derived from it and can be rebuilt. Times are microseconds since 1970 in UTC; an instance and a
-- relation are written as one text each.

create table fact (
    seq integer primary key not null,
    at integer not null,
    kind text not null,
    payload text not null
) strict;

create table run (
    id integer primary key not null,
    "trigger" text not null,
    selector text not null,
    state text not null,
    started_at integer not null,
    ended_at integer
) strict;
create index run_open on run (id) where ended_at is null;

create table task_run (
    id integer primary key not null,
    run integer not null,
    instance text not null,
    kind text not null,
    start_at integer not null,
    end_at integer not null,
    reason text not null,
    state text not null
) strict;
create index task_run_of on task_run (run, instance);

create table attempt (
    id integer primary key not null,
    task_run integer not null,
    relation text not null,
    seq integer not null,
    state text not null,
    started_at integer not null,
    ended_at integer,
    rows integer,
    version integer,
    fault text
) strict;
create index attempt_of on attempt (task_run);
create index attempt_live on attempt (relation) where state = 'running';

-- Lines that attempts wrote. Not derived.
create table attempt_log (
    attempt integer not null,
    line integer not null,
    at integer not null,
    text text not null,
    primary key (attempt, line)
) strict, without rowid;

-- Tables and views that the ledger knows; `version` is the newest whose every change is recorded,
-- `gone_seq` the fact that last said that the table was gone: fills before it count no more. One that
-- is `uncounted` may hold rows that no log tells of. `table_id` is the table's own.
create table relation (
    relation text primary key not null,
    schema_name text not null,
    name text not null,
    node text not null,
    kind text not null,
    columns text not null,
    version integer,
    table_id text,
    bytes integer not null,
    files integer not null,
    gone_seq integer not null default 0,
    uncounted integer not null default 0
) strict, without rowid;

-- What decisions read of an instance, but for `cover`: a JSON document. `relation` is the table that
-- the cover speaks of; none where nothing is filled.
create table node (
    instance text primary key not null,
    document text not null,
    relation text
) strict, without rowid;
create index node_of on node (relation);

-- What is filled: packed entries (range, made with, claim, made and recorded when), sorted, some hundred a row.
create table cover (
    instance text not null,
    start_at integer not null,
    entries blob not null,
    primary key (instance, start_at)
) strict;

-- What each interval held when it was last filled: packed entries (interval, rows, hash).
create table content (
    instance text not null,
    start_at integer not null,
    entries blob not null,
    primary key (instance, start_at)
) strict;

-- Every fill there was; `seq` is its fact, `claim_seq` the number in the table's commit.
create table fill (
    seq integer primary key not null,
    instance text not null,
    relation text not null,
    start_at integer not null,
    end_at integer not null,
    attempt integer not null,
    claim_seq integer not null
) strict;
create index fill_of on fill (instance, start_at);
create index fill_claim on fill (relation, claim_seq);
create index fill_attempt on fill (attempt);

create table test (
    node text not null,
    name text not null,
    fingerprint text not null,
    failures integer not null,
    sample text not null,
    fill_seq integer not null,
    tested_at integer not null,
    primary key (node, name)
) strict, without rowid;

create table source (
    name text primary key not null,
    columns text not null,
    hours blob not null,
    read_as text
) strict, without rowid;

-- Files of sources; one that is `gone` keeps what it last was.
create table source_file (
    source text not null,
    path text not null,
    start_at integer,
    end_at integer,
    size integer not null,
    modified_ns integer not null,
    content text not null,
    gone integer not null,
    changed_at integer not null,
    primary key (source, path)
) strict, without rowid;
