//go:build e2e

package sql

import (
	"testing"

	"reveille/internal/auth/authtest"
)

// TestUsers_Contract: see internal/auth/sql for SQLite.
func TestUsers_Contract(t *testing.T) {
	each(t, func(t *testing.T, s *server) { authtest.RunSQL(t, s.fresh) })
}
