-- The records of supervision and of what operators changed.
-- depends: 20261123_01_initial

-- migrate: apply

CREATE FUNCTION is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME;
END
$$;

-- What became of actors. `seq` keeps the order of events of one moment.
CREATE TABLE supervision_events (
    id uuid PRIMARY KEY,
    seq bigint GENERATED ALWAYS AS IDENTITY,
    at timestamptz NOT NULL,
    kind text NOT NULL,
    supervisor text NOT NULL,
    actor text NOT NULL,
    incarnation integer,
    reason text NOT NULL,
    details jsonb NOT NULL DEFAULT '{}',
    correlation_id text NOT NULL DEFAULT ''
);
CREATE INDEX supervision_events_newest ON supervision_events (at DESC, seq DESC);
CREATE INDEX supervision_events_by_actor ON supervision_events (actor, at DESC, seq DESC);

-- Settings that were changed while the program ran; NULL is the value of the file. Rows are written
-- under the table's lock and take the moment within it, so that ids and moments have one order.
-- `restores` is the change that stands again by an undo, with what is left of its time.
CREATE TABLE settings_history (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key text NOT NULL,
    old jsonb,
    new jsonb,
    actor text NOT NULL,
    reason text NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    revert_at timestamptz,
    undoes bigint CONSTRAINT settings_history_undone_once UNIQUE REFERENCES settings_history,
    restores bigint REFERENCES settings_history
);
CREATE INDEX settings_history_by_key ON settings_history (key, id DESC);
CREATE INDEX settings_history_reverts ON settings_history (revert_at) WHERE revert_at IS NOT NULL;
CREATE TRIGGER settings_history_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON settings_history
    FOR EACH STATEMENT EXECUTE FUNCTION is_append_only();

-- What operators did.
CREATE TABLE admin_actions (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    actor text NOT NULL,
    action text NOT NULL,
    target text NOT NULL,
    reason text NOT NULL,
    details jsonb NOT NULL DEFAULT '{}'
);
CREATE TRIGGER admin_actions_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON admin_actions
    FOR EACH STATEMENT EXECUTE FUNCTION is_append_only();

-- Messages that crashed their handler again and again. Without a payload one cannot be sent again
-- by itself.
CREATE TABLE dead_letters (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    letter_id uuid NOT NULL CONSTRAINT dead_letters_letter_once UNIQUE,
    correlation_id text NOT NULL DEFAULT '',
    operation_id text NOT NULL DEFAULT '',
    actor text NOT NULL,
    message_type text NOT NULL,
    payload jsonb,
    attempts integer NOT NULL,
    error text NOT NULL,
    traceback text NOT NULL,
    state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'retried', 'dropped')),
    created_at timestamptz NOT NULL DEFAULT now(),
    decided_at timestamptz,
    decided_by text,
    CONSTRAINT dead_letters_decided_by_someone
        CHECK ((state = 'waiting') = (decided_at IS NULL)
            AND (decided_at IS NULL) = (decided_by IS NULL))
);
CREATE UNIQUE INDEX dead_letters_one_waiting ON dead_letters (correlation_id)
    WHERE state = 'waiting' AND correlation_id <> '';

-- `attempts` are those that never ended or ended in a bug; `refusals` are Telegram's.
ALTER TABLE inbox ADD COLUMN refusals integer NOT NULL DEFAULT 0;
CREATE INDEX inbox_set_aside ON inbox ((source || ':' || source_id))
    WHERE quarantined_at IS NOT NULL AND done_at IS NULL;

-- migrate: rollback

DROP INDEX inbox_set_aside;
ALTER TABLE inbox DROP COLUMN refusals;
DROP TABLE dead_letters, admin_actions, settings_history, supervision_events;
DROP FUNCTION is_append_only;
