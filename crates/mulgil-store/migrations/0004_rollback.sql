-- Tables that a person took back to an earlier version: `version` is the commit that did it, `claim_seq`
-- the number in it.
create table rollback (
    seq integer primary key not null,
    relation text not null,
    version integer not null,
    to_version integer not null,
    claim_seq integer not null,
    at integer not null
) strict;
create index rollback_of on rollback (relation, claim_seq);
