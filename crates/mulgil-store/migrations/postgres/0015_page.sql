-- What pages walk along: each of their queries begins at a place in an index and reads a few rows from there.

-- The newest runs of a state.
create index run_state on run (state, id);
-- The tasks of a run, in the order of their beginning.
create index task_run_in on task_run (run, id);
-- The runs of a flow by interval.
create index flow_run_interval on flow_run (flow, start_at, run);
-- The facts of a run, in their order.
drop index fact_run;
create index fact_run on fact (run, seq) where run is not null;
