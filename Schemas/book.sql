-- A ledger in rows, and the positions its rules come from. Money in nano-dollars, times in microseconds since 1970.
CREATE TABLE accounts (
    owner_kind INTEGER NOT NULL,    -- 0 org, 1 user
    owner      INTEGER NOT NULL,    -- names
    granted    INTEGER NOT NULL,
    adjusted   INTEGER NOT NULL,    -- signed
    spent      INTEGER NOT NULL,    -- all charges
    invoiced   INTEGER NOT NULL,    -- part of spent
    expired    INTEGER NOT NULL,
    voided     INTEGER NOT NULL,
    overage    INTEGER NOT NULL,    -- debt: not covered and not invoiced
    remaining  INTEGER NOT NULL,    -- in all lots
    held       INTEGER NOT NULL,
    PRIMARY KEY (owner_kind, owner)
) STRICT, WITHOUT ROWID;

-- granted = remaining + spent + expired + voided, in every row.
CREATE TABLE lots (
    id           TEXT PRIMARY KEY,  -- of the event that granted it
    owner_kind   INTEGER NOT NULL,
    owner        INTEGER NOT NULL,
    category     INTEGER NOT NULL,  -- 0 promo, 1 plan, 2 refund, 3 adjustment, 4 paid
    priority     INTEGER NOT NULL,
    effective_at INTEGER NOT NULL,
    expires_at   INTEGER,
    position     INTEGER NOT NULL,  -- of the granting record
    granted      INTEGER NOT NULL,
    remaining    INTEGER NOT NULL,
    spent        INTEGER NOT NULL,
    expired      INTEGER NOT NULL,
    voided       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX lots_by_owner ON lots (owner_kind, owner);

CREATE TABLE allocations (
    org      INTEGER NOT NULL,      -- names, as is user
    user     INTEGER NOT NULL,
    mode     INTEGER NOT NULL,      -- 0 cap, 1 carve-out
    credits  INTEGER NOT NULL,
    period   INTEGER NOT NULL,      -- 0 never, 1 day, 2 week, 3 month
    position INTEGER NOT NULL,      -- of its record
    PRIMARY KEY (org, user)
) STRICT, WITHOUT ROWID;

-- What a user with an allocation drew of the pool, by UTC day of the calls' own time.
CREATE TABLE drawn (
    org    INTEGER NOT NULL,
    user   INTEGER NOT NULL,
    day    INTEGER NOT NULL,        -- since 1970-01-01
    amount INTEGER NOT NULL,
    PRIMARY KEY (org, user, day)
) STRICT, WITHOUT ROWID;

-- Positions of the plan.* and prices.* records: what the catalog is restored from.
CREATE TABLE controls (
    position INTEGER PRIMARY KEY
) STRICT;

-- Authorizations that run: credits set aside. Gone when they settle, are released or expire.
CREATE TABLE holds (
    owner_kind      INTEGER NOT NULL,   -- 0 org, 1 user: the org where there is one
    owner           INTEGER NOT NULL,   -- names, as are org and user
    id              TEXT NOT NULL,
    org             INTEGER NOT NULL,
    user            INTEGER NOT NULL,
    key_source      INTEGER NOT NULL,   -- 0 platform, 1 byok
    first           INTEGER NOT NULL,   -- on the account that pays first
    wallet          INTEGER NOT NULL,   -- on the user's wallet behind a pool
    is_allocated    INTEGER NOT NULL,   -- whether first counts against the user's allocation
    is_wallet_alone INTEGER NOT NULL,   -- whether the account that pays first is the user's wallet
    expires_at      INTEGER NOT NULL,
    position        INTEGER NOT NULL,   -- of the granting record
    PRIMARY KEY (owner_kind, owner, id)
) STRICT, WITHOUT ROWID;
