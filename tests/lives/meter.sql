-- What lists of meters need, written in the transaction that changes the state.
CREATE TABLE origin.meter (
    id     uuid PRIMARY KEY REFERENCES origin.subject,
    serial text NOT NULL,
    value  bigint NOT NULL
);
CREATE FUNCTION origin.project_meter() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO origin.meter (id, serial, value) VALUES (NEW.id, NEW.key, (NEW.state->>'value')::bigint)
    ON CONFLICT (id) DO UPDATE SET value = excluded.value;
    RETURN NULL;
END $$;
CREATE TRIGGER meter_projection AFTER UPDATE OF state ON origin.subject FOR EACH ROW
    WHEN (NEW.kind = 'meter') EXECUTE FUNCTION origin.project_meter();
