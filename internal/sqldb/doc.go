// Package sqldb opens the SQL databases that users are read from and locations
// are written to: SQLite, which is part of the program, PostgreSQL, MySQL and
// MariaDB. It turns a URL into a bounded pool of connections, and a query with
// named parameters into one with the placeholders of its database. What is asked
// is the business of its callers: internal/auth/sql and internal/locationdb.
package sqldb
