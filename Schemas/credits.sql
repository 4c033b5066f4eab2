-- The statement: every change of an owner's balance, for ever. A balance is the sum of its amounts, and of what was
-- invoiced.
CREATE TABLE movements (
    owner_kind    INTEGER NOT NULL, -- 0 org, 1 user
    owner         INTEGER NOT NULL, -- names, as are user and model
    position      INTEGER NOT NULL, -- of the record that moved it
    seq           INTEGER NOT NULL, -- among the movements of that record
    at            INTEGER NOT NULL, -- the event's own time
    kind          INTEGER NOT NULL, -- 0 charge, 1 grant, 2 adjustment, 3 expiry, 4 void, 5 refund
    amount        INTEGER NOT NULL, -- signed
    balance_after INTEGER NOT NULL,
    user          INTEGER NOT NULL, -- who caused a charge
    model         INTEGER NOT NULL,
    overage       INTEGER NOT NULL, -- part of the amount that no lot covered
    invoiced      INTEGER NOT NULL, -- part of the overage
    slices        TEXT NOT NULL,    -- "amount lot" a line, in the order in which lots burned
    authorization TEXT,             -- of a charge: the id that its call named
    settlement    INTEGER,          -- with it: 0 covered, 1 exceeded, 2 late
    held          INTEGER,          -- with it: what was held for the call
    PRIMARY KEY (owner_kind, owner, position, seq)
) STRICT, WITHOUT ROWID;

-- What each user spent of an org's pool.
CREATE TABLE spending (
    org     INTEGER NOT NULL,
    user    INTEGER NOT NULL,
    charged INTEGER NOT NULL,
    overage INTEGER NOT NULL,       -- part of it
    PRIMARY KEY (org, user)
) STRICT, WITHOUT ROWID;

-- Corrections of a call, in order: where its explanation finds them.
CREATE TABLE corrected (
    call     INTEGER NOT NULL,      -- position of the call's own record
    position INTEGER NOT NULL,      -- of the llm.call.voided or llm.call.amended
    PRIMARY KEY (call, position)
) STRICT, WITHOUT ROWID;

-- What became of the hold that a call names which moved no credits; of others, their movement says it.
CREATE TABLE settlements (
    position      INTEGER PRIMARY KEY, -- of the call
    authorization TEXT NOT NULL,
    kind          INTEGER NOT NULL,    -- 0 covered, 1 exceeded, 2 late
    held          INTEGER NOT NULL
) STRICT;

-- Authorizations that were denied, by org: a log of millions has few of them.
CREATE TABLE denials (
    org      INTEGER NOT NULL,      -- names
    position INTEGER NOT NULL,      -- of the authorization.denied
    PRIMARY KEY (org, position)
) STRICT, WITHOUT ROWID;
