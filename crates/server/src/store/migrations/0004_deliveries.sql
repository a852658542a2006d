-- What is still to be delivered, or was given up: an event of the outbox to one of its sinks. Delivered ones are gone.

CREATE TABLE deliveries (
    -- Rises in the order of the events, so it is the order within a meeting and a sink too.
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    sequence   INTEGER NOT NULL REFERENCES outbox (sequence),
    meeting    TEXT    NOT NULL,
    -- As in `sqs:arn:aws:sqs:...`, `webhook`.
    sink       TEXT    NOT NULL,
    attempts   INTEGER NOT NULL DEFAULT 0,
    -- From here the day is counted after which it is given up.
    since      INTEGER NOT NULL,
    due_at     INTEGER NOT NULL,
    dead       INTEGER NOT NULL DEFAULT 0,
    last_error TEXT
) STRICT;

CREATE INDEX deliveries_pending ON deliveries (id) WHERE dead = 0;
CREATE INDEX deliveries_lane ON deliveries (meeting, sink, id);
CREATE INDEX deliveries_dead ON deliveries (since) WHERE dead = 1;
CREATE INDEX deliveries_of_event ON deliveries (sequence);

-- Whose connection and whose video has been told of, so that each is told once, also over a restart of the service.
CREATE TABLE told (
    meeting          TEXT    NOT NULL,
    attendee         TEXT    NOT NULL,
    content          INTEGER NOT NULL,
    -- `joined` or `video`
    what             TEXT    NOT NULL,
    external_user_id TEXT    NOT NULL,
    -- The run of the service that saw it last.
    run              TEXT    NOT NULL,
    PRIMARY KEY (meeting, attendee, content, what)
) STRICT;

CREATE INDEX outbox_meeting ON outbox (meeting, sequence);
