-- Thresholds, where they stand, and every time one was crossed. Money in nano-dollars, days since 1970-01-01.
CREATE TABLE alerts (
    alert      TEXT PRIMARY KEY,
    owner_kind INTEGER NOT NULL,        -- 0 org, 1 user
    owner      INTEGER NOT NULL,        -- names
    condition  INTEGER NOT NULL,        -- 0 balance below, 1 calls percent, 2 spend, 3 days left
    threshold  INTEGER NOT NULL,        -- money, percent or days
    per        INTEGER,                 -- of a spend: 0 day, 1 week, 2 month, 3 ever
    enabled    INTEGER NOT NULL,        -- 0: it has ended
    position   INTEGER NOT NULL,        -- of its definition
    fired      INTEGER NOT NULL,        -- position of the record that fired it, 0 when armed; windows have their own
    latest_day INTEGER NOT NULL         -- the latest day it was judged on: where the pace of a balance is taken
) STRICT, WITHOUT ROWID;
CREATE INDEX alerts_by_owner ON alerts (owner_kind, owner, alert);

-- Windows of calls and spend in which an alert has fired and not recovered. A window not here is armed.
CREATE TABLE alert_windows (
    alert     TEXT NOT NULL,
    per       INTEGER NOT NULL,
    start_day INTEGER NOT NULL,         -- [start, end); "ever" is all days there are
    end_day   INTEGER NOT NULL,
    position  INTEGER NOT NULL,         -- of the record that fired it
    PRIMARY KEY (alert, per, start_day, end_day)
) STRICT, WITHOUT ROWID;

-- Every firing and recovery, in the order in which they happened. Never changed.
CREATE TABLE firings (
    number     INTEGER PRIMARY KEY,     -- from 1
    alert      TEXT NOT NULL,
    owner_kind INTEGER NOT NULL,
    owner      INTEGER NOT NULL,        -- names
    kind       INTEGER NOT NULL,        -- 0 fired, 1 recovered
    position   INTEGER NOT NULL,        -- of the record that did it
    at         INTEGER NOT NULL,        -- that event's own time, in microseconds since 1970
    condition  INTEGER NOT NULL,
    threshold  INTEGER NOT NULL,
    per        INTEGER,                 -- of the window of calls or spend
    start_day  INTEGER,                 -- null for "ever"
    end_day    INTEGER,
    value      INTEGER,                 -- money, calls or whole days; null when there is no number
    calls_max  INTEGER                  -- the limit that calls were measured against
) STRICT;
CREATE INDEX firings_by_owner ON firings (owner_kind, owner, number);

-- What an owner was charged and which calls used quota, by UTC day of the calls' own time: an alert may be defined
-- after the calls that it counts.
CREATE TABLE owner_days (
    owner_kind INTEGER NOT NULL,
    owner      INTEGER NOT NULL,        -- names
    day        INTEGER NOT NULL,
    charged    INTEGER NOT NULL,
    calls      INTEGER NOT NULL,        -- on the platform's key
    byok_calls INTEGER NOT NULL,        -- on the owner's own
    PRIMARY KEY (owner_kind, owner, day)
) STRICT, WITHOUT ROWID;

-- Calls that were voided or amended: the position of the amendment that stands for the call at `call`, 0 when voided.
CREATE TABLE corrections (
    call     INTEGER PRIMARY KEY,
    standing INTEGER NOT NULL
) STRICT;
