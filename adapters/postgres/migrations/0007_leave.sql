-- Who may declare for whom (ops/decisions/0023), and what operators did.

-- A client's leave to declare for an exporter that is not its own enterprise; one list, whoever gives it. A row is one
-- leave: proposed (nobody has given it yet), given since a moment, over at a moment. Rows stay.
CREATE TABLE origin.leave (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    client      text NOT NULL REFERENCES origin.client,
    exporter    text NOT NULL CHECK (length(exporter) = 18),
    proposed_at timestamptz,
    given_by    text CHECK (given_by IN ('operator')),
    since       timestamptz,
    revoked_at  timestamptz,
    CHECK ((given_by IS NULL) = (since IS NULL)),
    CHECK (proposed_at IS NOT NULL OR since IS NOT NULL)
);
-- One at a time; also what the door's look at a client reads.
CREATE UNIQUE INDEX leave_open ON origin.leave (client, exporter) WHERE revoked_at IS NULL;

-- Acts of operators: who, when, what. Only ever appended to.
CREATE TABLE origin.operator_act (
    id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    who    text NOT NULL,
    what   text NOT NULL,
    client text NOT NULL,
    detail jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX operator_act_client ON origin.operator_act (client, id);

CREATE FUNCTION origin.stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'rows of %.% are never changed or deleted', TG_TABLE_SCHEMA, TG_TABLE_NAME;
END $$;
CREATE TRIGGER operator_act_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON origin.operator_act
    FOR EACH STATEMENT EXECUTE FUNCTION origin.stays();

-- Until now a client could name any exporter. Those it has declared for are proposed: they go on with a warning until
-- the operator says yes or no. Also who only corrected a declaration that another client of its enterprise made.
INSERT INTO origin.leave (client, exporter, proposed_at)
SELECT DISTINCT client.id, pair.exporter, now()
FROM (
    SELECT c.client, c.exporter FROM origin.certificate c WHERE c.exporter <> c.applicant
    UNION
    SELECT i.client, c.exporter FROM origin.certificate c JOIN origin.intake i ON i.certificate_id = c.id
    WHERE c.exporter <> c.applicant
) AS pair
JOIN origin.client ON client.id = pair.client
WHERE pair.exporter <> client.enterprise AND client.revoked_at IS NULL AND length(pair.exporter) = 18;
