-- What was used, and what it cost, by every dimension the API groups by. Money in nano-dollars.
-- A sum (ANY) is an INTEGER while it fits in 64 bits; past that a BLOB of 16 bytes, the most significant first, in two's
-- complement. Both are added by wide_sum(), which the daemon's connections have.
CREATE TABLE tokens (
    org                INTEGER NOT NULL,    -- names, as are user, service, model and provider
    day                INTEGER NOT NULL,    -- UTC, since 1970-01-01
    user               INTEGER NOT NULL,
    service            INTEGER NOT NULL,
    model              INTEGER NOT NULL,
    provider           INTEGER NOT NULL,
    key_source         INTEGER NOT NULL,    -- 0 platform, 1 byok
    calls              INTEGER NOT NULL,    -- that use quota
    input_tokens       ANY NOT NULL,
    output_tokens      ANY NOT NULL,
    cache_read_tokens  ANY NOT NULL,
    cache_write_tokens ANY NOT NULL,
    reasoning_tokens   ANY NOT NULL,
    images             ANY NOT NULL,
    audio_micros       ANY NOT NULL,        -- seconds of audio x 10^6
    charge             ANY NOT NULL,        -- by our prices
    cost               ANY NOT NULL,        -- as the gateways reported it
    unpriced_calls     INTEGER NOT NULL,
    PRIMARY KEY (org, day, user, service, model, provider, key_source)
) STRICT, WITHOUT ROWID;

-- The time of the latest call or usage of each org; org 0 stands for calls without one.
CREATE TABLE activity (
    org     INTEGER PRIMARY KEY,            -- names
    last_at INTEGER NOT NULL                -- microseconds since 1970
) STRICT;

-- Positions of the plan.* and prices.* records: what the memory of this projection is restored from.
CREATE TABLE controls (
    position INTEGER PRIMARY KEY
) STRICT;

-- Calls that were voided or amended: the position of the amendment that stands for the call at `call`, 0 when voided.
CREATE TABLE corrections (
    call     INTEGER PRIMARY KEY,
    standing INTEGER NOT NULL
) STRICT;

-- Calls that were charged 0 for want of a price, as they stand, by the position of the record that states them.
CREATE TABLE unpriced (
    position  INTEGER PRIMARY KEY,
    time      INTEGER NOT NULL,             -- the call's own, microseconds since 1970
    org       INTEGER NOT NULL,             -- names, as are user, provider and model
    user      INTEGER NOT NULL,
    provider  INTEGER NOT NULL,
    model     INTEGER NOT NULL,
    operation INTEGER NOT NULL,             -- as in a record: 0 chat ... 6 other
    reason    INTEGER NOT NULL              -- 1 no list, 2 no rule, 3 no cost, 4 no usage
) STRICT;
CREATE INDEX unpriced_by_org ON unpriced (org, position);
