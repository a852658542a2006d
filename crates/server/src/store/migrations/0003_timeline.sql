-- What happened in a meeting, as those who were there tell it. It goes with its meeting.
-- `number` counts from one within a meeting, so that the next one, and whether there is room, are found at once.
CREATE TABLE timeline (
    meeting     TEXT    NOT NULL REFERENCES meetings (id) ON DELETE CASCADE,
    number      INTEGER NOT NULL,
    -- Who told it: `client`.
    source      TEXT    NOT NULL,
    attendee    TEXT    NOT NULL,
    event       TEXT    NOT NULL,
    -- By the teller's clock; when it was heard stands beside it.
    at          INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    -- What the teller runs on, empty if it does not say.
    platform    TEXT    NOT NULL,
    -- The event's own numbers and words, as a JSON object.
    attributes  TEXT    NOT NULL,
    PRIMARY KEY (meeting, number)
) STRICT;

CREATE INDEX timeline_attendee ON timeline (meeting, attendee);
