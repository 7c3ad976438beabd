-- Which version of a table readers see. `newest` is the highest version that a fill of ours made or the
-- log showed, `published` the one that readers see, `waits_since` the time of the first version that
-- waits for its data tests beside it.
alter table relation add column newest integer;
alter table relation add column published integer;
alter table relation add column waits_since integer;
update relation set newest = version, published = version;
