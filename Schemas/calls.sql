-- How many calls an owner made on a UTC day. Owners are orgs and users: a call with both counts for both.
CREATE TABLE calls (
    owner_kind INTEGER NOT NULL,    -- 0 org, 1 user
    owner      INTEGER NOT NULL,    -- names
    day        INTEGER NOT NULL,    -- since 1970-01-01
    status     INTEGER NOT NULL,    -- 0 success, 1 failure, 2 aborted
    key_source INTEGER NOT NULL,    -- 0 platform, 1 byok
    counted    INTEGER NOT NULL,    -- calls that use quota
    uncounted  INTEGER NOT NULL,    -- failures without usage: counted here only
    PRIMARY KEY (owner_kind, owner, day, status, key_source)
) STRICT, WITHOUT ROWID;

-- Positions of the plan.* records: what the memory of this projection is restored from.
CREATE TABLE controls (
    position INTEGER PRIMARY KEY
) STRICT;

-- Calls that were voided or amended: the position of the amendment that stands for the call at `call`, 0 when voided.
CREATE TABLE corrections (
    call     INTEGER PRIMARY KEY,
    standing INTEGER NOT NULL
) STRICT;
