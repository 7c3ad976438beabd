-- When a person had a run begun again.
alter table flow_run add column reopened_at bigint;
