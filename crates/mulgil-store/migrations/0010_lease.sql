-- Rights that one process has at a time and until a moment of the database's clock. `epoch` grows whenever
-- a lease is taken anew; a row stays after its lease is over, so that the epoch never comes again.
create table lease (
    name text primary key not null,
    holder text not null,
    epoch integer not null,
    expires_at integer not null
) strict, without rowid;
