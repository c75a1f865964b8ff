package admin

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// Self is what the server tells of itself.
type Self struct {
	Status func(context.Context) (Status, error)
	Stats  func() (Stats, error)
	// Config returns the configuration as loaded, its secrets redacted.
	Config func() (Configuration, error)
	// Flush returns when all registrations that were acknowledged are on the disk,
	// whatever store.durability is. Nil: there is no disk.
	Flush func() error
}

// Status is the answer to GET /v1/status.
type Status struct {
	Version  string    `json:"version" doc:"The build."`
	Node     uint32    `json:"node" doc:"node.id."`
	Started  time.Time `json:"started"`
	UptimeS  int64     `json:"uptime_s" doc:"Seconds since then."`
	Ready    bool      `json:"ready" doc:"It takes traffic."`
	Draining bool      `json:"draining" doc:"It stops: what is under way ends, and nothing else is taken."`
	// Overloaded is that of Options.
	Overloaded    bool          `json:"overloaded" doc:"New requests are refused at times."`
	Waiting       int           `json:"waiting" doc:"Requests that wait for a phone to wake."`
	Registrations Registrations `json:"registrations"`
	Listeners     []Listener    `json:"listeners" doc:"In the order of the configuration."`
	Store         StoreStatus   `json:"store"`
	Config        ConfigStatus  `json:"config"`
}

// Registrations count those that there are.
type Registrations struct {
	Users    int `json:"users" doc:"Users who have at least one."`
	Bindings int `json:"bindings" doc:"Phones, including those that are dormant or ended a moment ago."`
	Wakeable int `json:"wakeable" doc:"Phones that a push wakes."`
	// Counted is absent where there are too many to look at each.
	Counted *Counted `json:"counted,omitempty" doc:"How the phones are; absent if there are more than can be looked at in passing."`
}

// Counted is how phones were a moment ago, by the states of a contact.
type Counted struct {
	Awake       int       `json:"awake" doc:"A request would be sent to them without a push."`
	Asleep      int       `json:"asleep" doc:"They have to be woken first."`
	Dormant     int       `json:"dormant" doc:"Their registration has ended, and they are woken all the same."`
	Unreachable int       `json:"unreachable" doc:"There is neither a way to them nor one to wake them."`
	At          time.Time `json:"at" doc:"When they were counted."`
}

// A Listener is a SIP listener.
type Listener struct {
	Name      string `json:"name"`
	Transport string `json:"transport" doc:"udp, tcp, tls, ws or wss."`
	Addr      string `json:"addr" doc:"Where it listens."`
}

// StoreStatus is where registrations are kept.
type StoreStatus struct {
	Durability string `json:"durability" doc:"What an answer to a REGISTER promises: fsync, write or memory."`
	Pending    int    `json:"pending" doc:"Updates that wait to be written."`
	Bytes      int    `json:"bytes" doc:"Memory of the registrations."`
}

// ConfigStatus says which configuration is in force.
type ConfigStatus struct {
	Generation int       `json:"generation" doc:"1 at the start, and one more with each reload that was taken over."`
	Loaded     time.Time `json:"loaded" doc:"When it was taken over."`
}

// Configuration is the answer to GET /v1/config.
type Configuration struct {
	ConfigStatus
	YAML string `json:"yaml" doc:"Every key with its value, as a file would say it; secrets are redacted."`
}

// Stats are figures by the names that the registrar and usrloc modules of OpenSIPS and
// Kamailio have for them.
type Stats struct {
	MaxExpires     int64 `json:"max_expires" doc:"registrar.expires.max in seconds."`
	MaxContacts    int   `json:"max_contacts" doc:"registrar.max_contacts."`
	DefaultExpires int64 `json:"default_expires" doc:"registrar.expires.default in seconds."`
	// DefaultsExpires is the name that the modules have for it.
	DefaultsExpires int64 `json:"defaults_expires" doc:"The same by the name that the modules have for it."`
	AcceptedRegs    int64 `json:"accepted_regs" doc:"REGISTER requests that were answered 200."`
	RejectedRegs    int64 `json:"rejected_regs" doc:"REGISTER requests that the registrar refused; those without credentials do not count."`

	RegisteredUsers  int   `json:"registered_users" doc:"Users with at least one contact."`
	LocationUsers    int   `json:"location_users" doc:"The same: users in the domain's table."`
	LocationContacts int   `json:"location_contacts" doc:"Contacts."`
	LocationExpires  int64 `json:"location_expires" doc:"Contacts that ended because nothing came."`
}

var errNoDisk = errors.New("registrations are kept in memory alone (store.durability)")

type (
	statusReply struct{ Body Status }
	configReply struct{ Body Configuration }
	statsReply  struct{ Body Stats }
	flushInput  struct{}
)

func (*flushInput) target() string { return "" }

func (s *Self) register(a *api) {
	if s == nil {
		return
	}
	query(a, Read, call{
		id: "status", method: http.MethodGet, path: "/status", tag: "server", summary: "How the server is",
	}, func(ctx context.Context, _ *nothing) (*statusReply, error) {
		st, err := s.Status(ctx)
		st.Listeners = list(st.Listeners)
		return &statusReply{st}, err
	})
	query(a, Admin, call{
		id: "show-config", method: http.MethodGet, path: "/config", tag: "server", summary: "The configuration as loaded, its secrets redacted",
	}, func(context.Context, *nothing) (*configReply, error) {
		c, err := s.Config()
		return &configReply{c}, err
	})
	query(a, Read, call{
		id: "stats", method: http.MethodGet, path: "/stats", tag: "server", summary: "Figures by the names of OpenSIPS and Kamailio",
		doc: "/metrics has many more.",
	}, func(context.Context, *nothing) (*statsReply, error) {
		st, err := s.Stats()
		return &statsReply{st}, err
	})
	change(a, Operate, call{
		id: "flush", method: http.MethodPost, path: "/flush", tag: "server", summary: "Wait until all registrations are on the disk",
		doc:   "It takes effect with store.durability write, where an answer to a REGISTER does not wait for the disk.",
		takes: MaxWait, errors: []int{http.StatusConflict},
	}, func(context.Context, *flushInput) (*nothing, error) {
		if s.Flush == nil {
			return nil, failure(http.StatusConflict, errNoDisk)
		}
		return nil, s.Flush()
	})
}
