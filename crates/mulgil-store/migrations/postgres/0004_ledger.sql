-- The ledger as the file's migrations 1 to 4 make it, with `collate "C"` so that texts have the order of
-- their bytes in both databases. `fact` is the record, only ever added to. Every other table but `attempt_log` is
-- derived from it and can be rebuilt. Times are microseconds since 1970 in UTC; an instance and a
-- relation are written as one text each.

create table fact (
    seq bigint primary key not null,
    at bigint not null,
    kind text collate "C" not null,
    payload text collate "C" not null
);

create table run (
    id bigint primary key not null,
    "trigger" text collate "C" not null,
    selector text collate "C" not null,
    state text collate "C" not null,
    started_at bigint not null,
    ended_at bigint
);
create index run_open on run (id) where ended_at is null;

create table task_run (
    id bigint primary key not null,
    run bigint not null,
    instance text collate "C" not null,
    kind text collate "C" not null,
    start_at bigint not null,
    end_at bigint not null,
    reason text collate "C" not null,
    state text collate "C" not null
);
create index task_run_of on task_run (run, instance);

create table attempt (
    id bigint primary key not null,
    task_run bigint not null,
    relation text collate "C" not null,
    seq bigint not null,
    state text collate "C" not null,
    started_at bigint not null,
    ended_at bigint,
    rows bigint,
    version bigint,
    fault text collate "C"
);
create index attempt_of on attempt (task_run);
create index attempt_live on attempt (relation) where state = 'running';

-- Lines that attempts wrote. Not derived.
create table attempt_log (
    attempt bigint not null,
    line bigint not null,
    at bigint not null,
    text text collate "C" not null,
    primary key (attempt, line)
);

-- Tables and views that the ledger knows; `version` is the newest whose every change is recorded,
-- `gone_seq` the fact that last said that the table was gone: fills before it count no more. One that
-- is `uncounted` may hold rows that no log tells of. `table_id` is the table's own.
-- Tables and views that a person had removed are known (`dropped`), and not in the catalog. `newest` is the
-- highest version that a fill of ours made or the log showed, `published` the one that readers see,
-- `waits_since` the time of the first version that waits for its data tests beside it.
create table relation (
    relation text collate "C" primary key not null,
    schema_name text collate "C" not null,
    name text collate "C" not null,
    node text collate "C" not null,
    kind text collate "C" not null,
    columns text collate "C" not null,
    version bigint,
    table_id text collate "C",
    bytes bigint not null,
    files bigint not null,
    gone_seq bigint not null default 0,
    uncounted bigint not null default 0,
    dropped bigint not null default 0,
    newest bigint,
    published bigint,
    waits_since bigint
);

-- What decisions read of an instance, but for `cover`: a JSON document. `relation` is the table that
-- the cover speaks of; none where nothing is filled.
create table node (
    instance text collate "C" primary key not null,
    document text collate "C" not null,
    relation text collate "C"
);
create index node_of on node (relation);

-- What is filled: packed entries (range, made with, claim, made and recorded when), sorted, some hundred a row.
create table cover (
    instance text collate "C" not null,
    start_at bigint not null,
    entries bytea not null,
    primary key (instance, start_at)
);

-- What each interval held when it was last filled: packed entries (interval, rows, hash).
create table content (
    instance text collate "C" not null,
    start_at bigint not null,
    entries bytea not null,
    primary key (instance, start_at)
);

-- Every fill there was; `seq` is its fact, `claim_seq` the number in the table's commit.
create table fill (
    seq bigint primary key not null,
    instance text collate "C" not null,
    relation text collate "C" not null,
    start_at bigint not null,
    end_at bigint not null,
    attempt bigint not null,
    claim_seq bigint not null
);
create index fill_of on fill (instance, start_at);
create index fill_claim on fill (relation, claim_seq);
create index fill_attempt on fill (attempt);

create table test (
    node text collate "C" not null,
    name text collate "C" not null,
    fingerprint text collate "C" not null,
    failures bigint not null,
    sample text collate "C" not null,
    fill_seq bigint not null,
    tested_at bigint not null,
    primary key (node, name)
);

create table source (
    name text collate "C" primary key not null,
    columns text collate "C" not null,
    hours bytea not null,
    read_as text collate "C"
);

-- Files of sources; one that is `gone` keeps what it last was.
create table source_file (
    source text collate "C" not null,
    path text collate "C" not null,
    start_at bigint,
    end_at bigint,
    size bigint not null,
    modified_ns bigint not null,
    content text collate "C" not null,
    gone bigint not null,
    changed_at bigint not null,
    primary key (source, path)
);

-- Tables that a person took back to an earlier version: `version` is the commit that did it, `claim_seq`
-- the number in it.
create table rollback (
    seq bigint primary key not null,
    relation text collate "C" not null,
    version bigint not null,
    to_version bigint not null,
    claim_seq bigint not null,
    at bigint not null
);
create index rollback_of on rollback (relation, claim_seq);

-- Those who write, one row for each process: the number of the last group that it committed, by which it
-- learns what became of a commit whose answer was lost.
create table writer (
    id text collate "C" primary key not null,
    last_group bigint not null,
    at bigint not null
);
