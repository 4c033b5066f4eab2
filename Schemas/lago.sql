-- Lines still open: usage of a subscription in one window, by the calls' own time. Sums (ANY) are INTEGER while they fit
-- in 64 bits, and past that 16 bytes, as in tokens.sql.
CREATE TABLE open_lines (
    subscription       INTEGER NOT NULL,    -- names, as are provider and model
    window_start       INTEGER NOT NULL,    -- seconds since 1970
    window_seconds     INTEGER NOT NULL,
    provider           INTEGER NOT NULL,
    model              INTEGER NOT NULL,
    operation          INTEGER NOT NULL,
    calls              INTEGER NOT NULL,
    input_tokens       ANY NOT NULL,
    output_tokens      ANY NOT NULL,
    cache_read_tokens  ANY NOT NULL,
    cache_write_tokens ANY NOT NULL,
    reasoning_tokens   ANY NOT NULL,
    images             ANY NOT NULL,
    audio_micros       ANY NOT NULL,        -- seconds of audio x 10^6
    characters         ANY NOT NULL,
    searches           ANY NOT NULL,
    charge             ANY NOT NULL,        -- nano-dollars
    invoiced           ANY NOT NULL,        -- overage that is due
    last_at            INTEGER NOT NULL,    -- the latest call's time, in microseconds
    first_position     INTEGER NOT NULL,
    last_position      INTEGER NOT NULL,
    PRIMARY KEY (subscription, window_start, window_seconds, provider, model, operation)
) STRICT, WITHOUT ROWID;

-- Sealed lines, never changed. A line's id is "l-<position>-<number>".
CREATE TABLE lines (
    position           INTEGER NOT NULL,    -- of the closing record
    number             INTEGER NOT NULL,    -- among its lines, from 1
    batch              INTEGER NOT NULL,    -- number of its batch
    subscription       INTEGER NOT NULL,
    window_start       INTEGER NOT NULL,
    window_seconds     INTEGER NOT NULL,
    provider           INTEGER NOT NULL,
    model              INTEGER NOT NULL,
    operation          INTEGER NOT NULL,
    calls              INTEGER NOT NULL,
    input_tokens       ANY NOT NULL,
    output_tokens      ANY NOT NULL,
    cache_read_tokens  ANY NOT NULL,
    cache_write_tokens ANY NOT NULL,
    reasoning_tokens   ANY NOT NULL,
    images             ANY NOT NULL,
    audio_micros       ANY NOT NULL,
    characters         ANY NOT NULL,
    searches           ANY NOT NULL,
    charge             ANY NOT NULL,
    invoiced           ANY NOT NULL,
    last_at            INTEGER NOT NULL,
    first_position     INTEGER NOT NULL,
    last_position      INTEGER NOT NULL,
    PRIMARY KEY (position, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX lines_by_batch ON lines (position, batch);

-- Batches of sealed lines of one window. A batch's id is "b-<position>-<number>".
CREATE TABLE batches (
    position       INTEGER NOT NULL,        -- of the closing record
    number         INTEGER NOT NULL,        -- among its batches, from 1
    window_start   INTEGER NOT NULL,
    window_seconds INTEGER NOT NULL,
    first_position INTEGER NOT NULL,        -- of the calls in it
    last_position  INTEGER NOT NULL,
    lines          INTEGER NOT NULL,
    events         INTEGER NOT NULL,        -- of Lago: 1...100
    state          INTEGER NOT NULL,        -- 0 pending, 1 delivered, 2 failed
    detail         TEXT,
    state_position INTEGER NOT NULL,        -- of the record that says so; 0 when pending
    PRIMARY KEY (position, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX batches_by_state ON batches (state, position, number);

-- The length of the windows that new lines are cut into: that of the last closing.
CREATE TABLE windows (
    id      INTEGER PRIMARY KEY,            -- 1
    seconds INTEGER NOT NULL
) STRICT;

-- Records that came in by Lago's door.
CREATE TABLE received (
    transaction_id TEXT NOT NULL,
    org            TEXT NOT NULL,           -- empty: of a user alone
    position       INTEGER NOT NULL,
    PRIMARY KEY (transaction_id, org, position)
) STRICT, WITHOUT ROWID;
