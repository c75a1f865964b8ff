-- The table location as Kamailio's usrloc knows it, for MySQL and MariaDB.
CREATE TABLE location (
    id            BIGINT AUTO_INCREMENT PRIMARY KEY,
    ruid          VARCHAR(64) NOT NULL DEFAULT '' UNIQUE,
    username      VARCHAR(64) NOT NULL DEFAULT '',
    domain        VARCHAR(64),
    contact       VARCHAR(512) NOT NULL DEFAULT '',
    received      VARCHAR(255),
    path          VARCHAR(512),
    expires       DATETIME NOT NULL DEFAULT '2030-05-28 21:32:15',
    q             FLOAT NOT NULL DEFAULT 1.0,
    callid        VARCHAR(255) NOT NULL DEFAULT '',
    cseq          INTEGER NOT NULL DEFAULT 1,
    last_modified DATETIME NOT NULL DEFAULT '2000-01-01 00:00:01',
    flags         INTEGER NOT NULL DEFAULT 0,
    cflags        INTEGER NOT NULL DEFAULT 0,
    user_agent    VARCHAR(255) NOT NULL DEFAULT '',
    socket        VARCHAR(64),
    methods       INTEGER,
    instance      VARCHAR(255),
    reg_id        INTEGER NOT NULL DEFAULT 0,
    server_id     INTEGER NOT NULL DEFAULT 0,
    connection_id INTEGER NOT NULL DEFAULT 0,
    keepalive     INTEGER NOT NULL DEFAULT 0,
    `partition`   INTEGER NOT NULL DEFAULT 0
) CHARACTER SET utf8mb4;
CREATE INDEX location_account_idx ON location (username, domain);
CREATE INDEX location_server_idx ON location (server_id, id);
