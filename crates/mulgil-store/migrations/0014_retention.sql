-- Runs of flows and their ticks are forgotten after a while. Here is what finds them, and the facts that tell
-- of them.

-- The run that a fact tells of: the one that it names, or that of the attempt that it names.
alter table fact add column run integer;
update fact set run = json_extract(payload, '$.' || kind || '.run')
where kind in ('run_began', 'run_ended', 'claimed', 'flow_began', 'steps_began', 'steps_ended', 'flow_cancelled',
    'flow_ended', 'flow_reopened');
update fact set run = (
    select t.run from attempt a join task_run t on t.id = a.task_run
    where a.id = json_extract(fact.payload, '$.' || fact.kind || '.attempt')
)
where kind in ('failed', 'tested') or (kind = 'filled' and json_extract(payload, '$.filled.adopted') is null);
create index fact_run on fact (run) where run is not null;

-- The fact that tells of a tick.
alter table tick add column seq integer not null default 0;
update tick set seq = told.seq
from (
    select json_extract(f.payload, '$.ticked.owner') as owner, json_extract(f.payload, '$.ticked.schedule') as schedule,
        json_extract(t.value, '$.scheduled_at') as scheduled_at, min(f.seq) as seq
    from fact f, json_each(f.payload, '$.ticked.ticks') t
    where f.kind = 'ticked' group by 1, 2, 3
) as told
where tick.owner = told.owner and tick.schedule = told.schedule and tick.scheduled_at = told.scheduled_at;
create index tick_run on tick (run) where run is not null;
create index tick_decided on tick (decided_at, seq);

create index flow_run_of on flow_run (flow, run);
-- Those that go on, which are few among all that ended.
create index flow_run_open on flow_run (flow, start_at) where ended_at is null;
create index flow_run_version on flow_run (version);
create index flow_run_over on flow_run (ended_at, run) where ended_at is not null;

-- The fact that holds a definition: that of the first run which went by it.
alter table flow_version add column seq integer not null default 0;
update flow_version set seq = coalesce((select min(f.seq) from flow_run f where f.version = fingerprint), 0);
