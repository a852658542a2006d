-- Times are milliseconds since 1970 in UTC. Ids are GUIDs in lower case. Lists are JSON arrays.
-- `sequence` orders lists: it only ever rises, so a page stays right while rows come and go.

CREATE TABLE meetings (
    sequence            INTEGER PRIMARY KEY AUTOINCREMENT,
    id                  TEXT    NOT NULL UNIQUE,
    account             TEXT    NOT NULL,
    namespace           TEXT    NOT NULL,
    token               TEXT    NOT NULL,
    external_meeting_id TEXT,
    media_region        TEXT    NOT NULL,
    host_id             TEXT,
    echo_reduction      TEXT,
    video_resolution    TEXT,
    content_resolution  TEXT,
    attendee_max        INTEGER,
    sns_topic           TEXT,
    sqs_queue           TEXT,
    lambda_function     TEXT,
    network_type        TEXT,
    tenant_ids          TEXT    NOT NULL,
    tags                TEXT    NOT NULL,
    created_at          INTEGER NOT NULL,
    -- Both are set when the meeting is over. Its row stays for a while, to say so.
    ended_at            INTEGER,
    end_reason          TEXT,
    CHECK ((ended_at IS NULL) = (end_reason IS NULL))
) STRICT;

-- The law in the schema once more: a token has one live meeting.
CREATE UNIQUE INDEX meetings_live_token ON meetings (account, token) WHERE ended_at IS NULL;
CREATE INDEX meetings_live ON meetings (account, sequence) WHERE ended_at IS NULL;
CREATE INDEX meetings_ended ON meetings (ended_at) WHERE ended_at IS NOT NULL;

CREATE TABLE attendees (
    sequence         INTEGER PRIMARY KEY AUTOINCREMENT,
    id               TEXT    NOT NULL,
    meeting          TEXT    NOT NULL REFERENCES meetings (id),
    external_user_id TEXT    NOT NULL,
    audio            TEXT    NOT NULL,
    video            TEXT    NOT NULL,
    content          TEXT    NOT NULL,
    tags             TEXT    NOT NULL,
    -- The number inside the join token that holds now.
    generation       INTEGER NOT NULL,
    created_at       INTEGER NOT NULL,
    UNIQUE (meeting, id),
    UNIQUE (meeting, external_user_id)
) STRICT;

CREATE INDEX attendees_listed ON attendees (meeting, sequence);

-- Events, committed with what they tell of. No reference to meetings: an event outlives its meeting.
CREATE TABLE outbox (
    sequence   INTEGER PRIMARY KEY AUTOINCREMENT,
    id         TEXT    NOT NULL UNIQUE,
    account    TEXT    NOT NULL,
    meeting    TEXT    NOT NULL,
    event_type TEXT    NOT NULL,
    -- The `detail` of the notification, ready to be sent.
    detail     TEXT    NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE INDEX outbox_created ON outbox (created_at);
