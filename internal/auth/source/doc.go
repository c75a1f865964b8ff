// Package source holds what sources of users have in common that ask another
// program: a Record, which is what a row or an answer says about a user, and
// Cached, which asks few times, not for long and not for all at once.
// internal/auth/sql and internal/auth/http are such sources.
package source
