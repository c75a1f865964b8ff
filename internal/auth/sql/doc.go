// Package sql is a source of users in a SQL database. The table subscriber of
// Kamailio and OpenSIPS serves as it is; any other takes a query of its own.
//
// It asks one question a time and remembers nothing: internal/auth/source does.
package sql
