-- Tables and views that a person had removed are known, and not in the catalog.
alter table relation add column dropped integer not null default 0;
