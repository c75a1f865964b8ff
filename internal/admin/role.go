package admin

import (
	"encoding"
	"fmt"

	"reveille/internal/event"
)

// A Role is what somebody may do. Each includes those below it; the zero value may
// do nothing.
type Role int

// The roles.
const (
	// Read sees everything that is no secret, and nothing of what wakes a phone but the
	// push service's name.
	Read Role = iota + 1
	// Operate changes what the server does now: wakes, pushes, registrations, bans,
	// reload, backup.
	Operate
	// Admin sees more than that: the configuration, the traffic of a user, and push
	// tokens where they are asked for.
	Admin
)

var (
	_ encoding.TextMarshaler   = Role(0)
	_ encoding.TextUnmarshaler = (*Role)(nil)
)

// roleNames returns the names of the roles in order.
func roleNames() []string { return []string{"read", "operate", "admin"} }

// String returns the role's name in the configuration.
func (r Role) String() string {
	if !r.valid() {
		return "none"
	}
	return roleNames()[r-Read]
}

func (r Role) valid() bool { return r >= Read && r <= Admin }

// MarshalText implements encoding.TextMarshaler.
func (r Role) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (r *Role) UnmarshalText(text []byte) error {
	for i, name := range roleNames() {
		if name == string(text) {
			*r = Read + Role(i)
			return nil
		}
	}
	return fmt.Errorf("%q is no role: write read, operate or admin", text)
}

// A Principal is who asks.
type Principal struct {
	// Kind says how we know: KindSocket, KindToken, KindCertificate, KindOIDC or
	// KindReporter.
	Kind string
	// Name is that of the token, the certificate or the person, or the user of the
	// machine.
	Name string
	Role Role
	// Tokens says that push tokens are shown to those who ask, whatever the role.
	Tokens bool
}

// Kinds of a Principal.
const (
	// KindSocket came over the control socket.
	KindSocket = "socket"
	// KindToken has one of Access.Tokens, KindCertificate one of Access.Certificates.
	KindToken       = "token"
	KindCertificate = "certificate"
	// KindOIDC logged in to the console at an OpenID provider. It opens nothing else.
	KindOIDC = "oidc"
	// KindReporter has Access.Reporter: the events and the reports of pushes, and no
	// more.
	KindReporter = "reporter"
)

// detail is how much of events p is shown without asking for tokens. A reporter is a
// program that pushes, or knows those who do.
func (p Principal) detail() event.Detail {
	if p.Role >= Operate || p.Kind == KindReporter {
		return event.Params
	}
	return event.Plain
}

// secrets reports whether p may be shown push tokens.
func (p Principal) secrets() bool { return p.Role >= Admin || p.Tokens }
