package configs

import (
	"fmt"
	"strings"
	"time"
)

// SQLUsers is a database with users, asked after Users and UsersFile. Without a
// URL there is none.
type SQLUsers struct {
	// URL names the database; URLFile holds it instead.
	URL     Secret     `yaml:"url"`
	URLFile SecretFile `yaml:"url_file"`
	// Proof is what the database has of every user.
	Proof []Proof `yaml:"proof"`
	// Table holds the users, by username and, with UseDomain, domain. Attributes
	// are further columns to read.
	Table      string      `yaml:"table"`
	UseDomain  bool        `yaml:"use_domain"`
	Attributes []Attribute `yaml:"attributes"`
	// Query takes the place of these three.
	Query string `yaml:"query"`
	// MaxConns bounds the connections, Timeout one question.
	MaxConns int           `yaml:"max_conns" range:"1..1000"`
	Timeout  time.Duration `yaml:"timeout" range:"50ms..5s"`
}

// HTTPUsers is a program that knows users, asked after Users and UsersFile.
// Without a URL there is none.
type HTTPUsers struct {
	// URL is where questions are posted.
	URL string `yaml:"url"`
	// Bearer goes with each question; BearerFile holds it instead.
	Bearer     Secret     `yaml:"bearer"`
	BearerFile SecretFile `yaml:"bearer_file"`
	CAFile     CertFile   `yaml:"ca_file"`
	// Proof is what every answer has.
	Proof []Proof `yaml:"proof"`
	// MaxConns bounds the connections, Timeout one question.
	MaxConns int           `yaml:"max_conns" range:"1..1000"`
	Timeout  time.Duration `yaml:"timeout" range:"50ms..5s"`
}

// UserCache is what is remembered of SQLUsers or HTTPUsers.
type UserCache struct {
	// Users bounds how many users are remembered.
	Users int `yaml:"users" range:"100..100000000"`
	// TTL is how long a user is, NegativeTTL that there is no such user.
	TTL         time.Duration `yaml:"ttl" range:"1s..24h"`
	NegativeTTL time.Duration `yaml:"negative_ttl" range:"1s..1h"`
}

// Location is a SQL table that the registrations are copied into. Without a URL
// there is none.
type Location struct {
	// URL names the database; URLFile holds it instead.
	URL     Secret     `yaml:"url"`
	URLFile SecretFile `yaml:"url_file"`
	Table   string     `yaml:"table"`
	// Interval is how long changes are gathered, Queue how many users can wait.
	Interval time.Duration `yaml:"interval" range:"10ms..1h"`
	Queue    int           `yaml:"queue" range:"100..100000000"`
	// PushParams keeps the push parameters in the contacts.
	PushParams bool `yaml:"push_params"`
}

// Proof is what a source has of each of its users to tell who they are.
type Proof string

// The password, or H(name:realm:password) by MD5, SHA-256 or SHA-512/256.
const (
	ProofPassword     Proof = "password"
	ProofHA1          Proof = "ha1"
	ProofHA1SHA256    Proof = "ha1_sha256"
	ProofHA1SHA512256 Proof = "ha1_sha512_256"
)

func (Proof) values() []string {
	return []string{string(ProofPassword), string(ProofHA1), string(ProofHA1SHA256), string(ProofHA1SHA512256)}
}

// Attribute is a column that says more of a user.
type Attribute string

// The attributes.
const (
	AttributeAORs        Attribute = "aors"
	AttributeMaxContacts Attribute = "max_contacts"
	AttributeDisplayName Attribute = "display_name"
)

func (Attribute) values() []string {
	return []string{string(AttributeAORs), string(AttributeMaxContacts), string(AttributeDisplayName)}
}

// External reports whether users are asked for elsewhere.
func (a *Auth) External() bool { return a.SQL.URL != "" || a.HTTP.URL != "" }

func defaultSQLUsers() SQLUsers {
	return SQLUsers{Proof: []Proof{ProofHA1}, Table: "subscriber", UseDomain: true, MaxConns: 8, Timeout: 2 * time.Second}
}

func defaultHTTPUsers() HTTPUsers {
	return HTTPUsers{Proof: []Proof{ProofPassword}, MaxConns: 8, Timeout: 2 * time.Second}
}

func defaultUserCache() UserCache {
	return UserCache{Users: 100_000, TTL: 5 * time.Minute, NegativeTTL: 30 * time.Second}
}

func defaultLocation() Location {
	return Location{Table: "location", Interval: time.Second, Queue: 100_000}
}

// checkExternal looks at where users are asked for.
func (l *loader) checkExternal(a *Auth) {
	l.checkDatabase("auth.sql", a.SQL.URLFile, &a.SQL.URL)
	l.checkProof("auth.sql.proof", a.SQL.Proof)
	twice(l, "auth.sql.attributes", a.SQL.Attributes)
	l.checkTable("auth.sql.table", a.SQL.Table)
	if a.SQL.Query != "" {
		if !strings.Contains(a.SQL.Query, "{user}") {
			l.errorAt("auth.sql.query", "does not hold {user}", "write SELECT ha1 FROM users WHERE name = {user}")
		}
		for _, key := range []string{"table", "use_domain", "attributes"} {
			if l.nodes["auth.sql."+key] != nil {
				l.errorAt("auth.sql."+key, "has no meaning beside query", "remove one of the two")
			}
		}
	}
	l.checkProof("auth.http.proof", a.HTTP.Proof)
	if a.HTTP.URL != "" {
		l.checkURL("auth.http.url", a.HTTP.URL, "https://host/path", "https", "http")
	}
	l.checkSecretPair("auth.http.bearer", a.HTTP.BearerFile, &a.HTTP.Bearer)
	if a.SQL.URL != "" && a.HTTP.URL != "" {
		l.errorAt("auth.http.url", "there are users in a database, too", "keep one of auth.sql and auth.http")
	}
}

func (l *loader) checkLocation(c *Location) {
	l.checkDatabase("location", c.URLFile, &c.URL)
	l.checkTable("location.table", c.Table)
}

// checkDatabase looks at the two keys that name a database below at.
func (l *loader) checkDatabase(at string, file SecretFile, url *Secret) {
	path := at + ".url"
	if file != "" {
		path += "_file"
	}
	l.checkSecretPair(at+".url", file, url)
	scheme, _, ok := strings.Cut(url.Reveal(), ":")
	switch scheme {
	case "sqlite", "postgres", "postgresql", "mysql", "mariadb":
		if ok {
			return
		}
	}
	if *url != "" {
		l.errorAt(path, "names no database", "write sqlite:/path, postgres://user:password@host/name or mysql://user:password@host/name")
	}
}

// checkSecretPair reads a secret that may stand in a file instead.
func (l *loader) checkSecretPair(path string, file SecretFile, secret *Secret) {
	if *secret != "" && file != "" {
		l.errorAt(path+"_file", "there is a "+path[strings.LastIndexByte(path, '.')+1:]+", too", "keep one of the two")
		return
	}
	l.inline(path+"_file", file, secret)
}

func (l *loader) checkProof(path string, proof []Proof) {
	if len(proof) == 0 {
		l.errorAt(path, "names nothing that proves a user", "write [password] or [ha1]")
	}
	twice(l, path, proof)
}

func (l *loader) checkTable(path, name string) {
	for _, part := range strings.SplitN(name, ".", 2) {
		if !nameSyntax.MatchString(part) || strings.ContainsAny(part, "-") {
			l.errorAt(path, fmt.Sprintf("%q is no name of a table", name), "write table or schema.table")
			return
		}
	}
}
