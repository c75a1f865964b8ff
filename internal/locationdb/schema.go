package locationdb

import (
	"embed"

	"reveille/internal/sqldb"
)

//go:embed schema/*.sql
var schemas embed.FS

// Schema returns the statements that make the table, each ended by a semicolon,
// for those who have no Kamailio to make it.
func Schema(d sqldb.Dialect) string {
	name := map[sqldb.Dialect]string{sqldb.SQLite: "sqlite", sqldb.PostgreSQL: "postgres", sqldb.MySQL: "mysql"}[d]
	text, err := schemas.ReadFile("schema/" + name + ".sql")
	if err != nil {
		return ""
	}
	return string(text)
}
