// Package sql runs what speaks to SQL databases against real ones: PostgreSQL and
// MariaDB, started in folders of their own by a user without rights.
// `make test` installs and runs them.
package sql
