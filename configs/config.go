package configs

import (
	"net/netip"
	"time"
)

// A Config is the whole configuration. Load and Default return one that is
// complete and checked; it must not be changed while others read it.
type Config struct {
	Security  Security  `yaml:"security"`
	Node      Node      `yaml:"node" restart:"yes"`
	Listen    []Listen  `yaml:"listen" restart:"yes"`
	Transport Transport `yaml:"transport"`
	// Domains are the names this server is responsible for, in lower case.
	Domains       []string      `yaml:"domains"`
	DomainAliases []DomainAlias `yaml:"domain_aliases"`
	// StripPrefixes are front parts of a host that do not count.
	StripPrefixes []string  `yaml:"strip_prefixes"`
	Store         Store     `yaml:"store" restart:"yes"`
	Location      Location  `yaml:"location" restart:"yes"`
	Registrar     Registrar `yaml:"registrar"`
	Limits        Limits    `yaml:"limits"`
	Overload      Overload  `yaml:"overload" restart:"yes"`
	Stop          Stop      `yaml:"stop"`
	Auth          Auth      `yaml:"auth"`
	ACL           ACL       `yaml:"acl"`
	Guard         Guard     `yaml:"guard"`
	Push          Push      `yaml:"push"`
	Wake          Wake      `yaml:"wake"`
	Proxy         Proxy     `yaml:"proxy"`
	DNS           DNS       `yaml:"dns" restart:"yes"`
	Media         Media     `yaml:"media"`
	AORs          []AOR     `yaml:"aors"`
	Identity      Identity  `yaml:"identity"`
	Messages      Messages  `yaml:"messages"`
	Hooks         Hooks     `yaml:"hooks" restart:"yes"`
	Events        Events    `yaml:"events"`
	HEP           HEP       `yaml:"hep" restart:"yes"`
	OTLP          OTLP      `yaml:"otlp" restart:"yes"`
	Calls         Calls     `yaml:"calls"`
	HTTP          HTTP      `yaml:"http"`
	Control       Control   `yaml:"control" restart:"yes"`
	Log           Log       `yaml:"log"`
}

// AuthModes says who must authenticate on a listener.
func (c *Config) AuthModes(ln *Listen) AuthModes {
	switch ln.Auth {
	case ListenerRequired:
		return AuthModes{Registrar: Required, Proxy: Required}
	case ListenerOff:
		return AuthModes{Registrar: Off, Proxy: Off}
	default:
		return c.Auth.Mode
	}
}

// Realm returns the digest realm.
func (c *Config) Realm() string {
	if c.Auth.Realm != "" {
		return c.Auth.Realm
	}
	return c.Domains[0]
}

// Realms returns the realm of each domain.
func (c *Config) Realms() map[string]string {
	realms := map[string]string{}
	for _, domain := range c.Domains {
		realms[domain] = c.Realm()
	}
	for _, r := range c.Auth.Realms {
		realms[r.Domain] = r.Realm
	}
	return realms
}

// OpenSentence is what security.open must say, word for word, before the
// server listens to others than this machine without asking who they are.
const OpenSentence = "anyone may register and call"

// Security holds the admissions that an operator has to make in words.
type Security struct {
	// Open is empty or OpenSentence.
	Open string `yaml:"open"`
}

// Node says who this process is among several.
type Node struct {
	// ID is the node's number, part of every Flow; 0 on a single node.
	ID uint32 `yaml:"id" range:"0..65535"`
}

// Listen is one socket address on which SIP is spoken.
type Listen struct {
	// Name is what flows, rules and metrics call the listener; unique, at most
	// 32 characters.
	Name      string            `yaml:"name"`
	Transport ListenerTransport `yaml:"transport"`
	// Addr is host:port; an empty host means every address of the machine.
	Addr string `yaml:"addr"`
	// Advertise is the host or host:port that others see in Via, Record-Route
	// and Path; empty means Addr.
	Advertise string `yaml:"advertise"`
	// Sockets is how many UDP sockets share the address; 0 means one per CPU.
	Sockets int `yaml:"sockets" range:"0..64"`
	// Auth says who must authenticate on this listener.
	Auth ListenerAuth `yaml:"auth" restart:"no"`
	// ProxyProtocol are the networks of the load balancers before the listener,
	// which say whose a connection is; none: clients connect themselves.
	ProxyProtocol []netip.Prefix `yaml:"proxy_protocol"`
	// TLS is set for listeners that are encrypted, and only for these.
	TLS *ListenTLS `yaml:"tls" restart:"no"`
	// WebSocket is set for WebSocket listeners that do not take every handshake.
	WebSocket *WebSocket `yaml:"ws"`
}

// Store says where registrations are kept.
type Store struct {
	// Dir is a folder of the server's own; empty keeps registrations in memory
	// alone.
	Dir Folder `yaml:"dir"`
	// Durability is what an answer to a REGISTER promises; without Dir nothing.
	Durability Durability `yaml:"durability"`
	// MinFreeMB is the free space, in MiB, below which a REGISTER is refused.
	MinFreeMB int `yaml:"min_free_mb" range:"0..1048576"`
}

// OnDisk reports whether registrations survive the process.
func (s Store) OnDisk() bool { return s.Dir != "" && s.Durability != InMemory }

// Transport bounds and times connections.
type Transport struct {
	// MaxConns bounds the connections of all listeners, MaxConnsPerSource those
	// of one IP address.
	MaxConns          int `yaml:"max_conns" range:"1..1000000" restart:"yes"`
	MaxConnsPerSource int `yaml:"max_conns_per_source" range:"1..1000000" restart:"yes"`
	// IdleTimeout ends a connection on which nothing came for so long.
	IdleTimeout time.Duration `yaml:"idle_timeout" range:"10s..24h" restart:"yes"`
	// KeepAlive is the interval of TCP keep-alive probes; 0 sends none.
	KeepAlive time.Duration `yaml:"keepalive" range:"0s..2h" restart:"yes"`
	// UserTimeout ends a connection whose sent bytes stay unacknowledged.
	UserTimeout time.Duration `yaml:"user_timeout" range:"1s..10m" restart:"yes"`
	// WriteTimeout bounds one write to a connection.
	WriteTimeout time.Duration `yaml:"write_timeout" range:"100ms..1m" restart:"yes"`
	// MaxMessage is the largest message accepted on a connection, in bytes.
	MaxMessage int `yaml:"max_message" range:"1500..65535" restart:"yes"`
	// FlowFresh is how long after its last byte a connection counts as alive.
	FlowFresh time.Duration `yaml:"flow_fresh" range:"1s..24h" restart:"yes"`
	// Rules choose the listener for destinations that have no flow yet; the
	// longest prefix wins.
	Rules []TransportRule `yaml:"rules" restart:"yes"`
}

// TransportRule sends what goes to a prefix out by one listener.
type TransportRule struct {
	Prefix   netip.Prefix `yaml:"prefix"`
	Listener string       `yaml:"listener"`
}

// Registrar is the policy for REGISTER (RFC 3261 §10).
type Registrar struct {
	Expires Expires `yaml:"expires"`
	// DefaultQ is the q value of a contact that names none; -1 leaves it open.
	DefaultQ float64 `yaml:"default_q" range:"-1..1"`
	// MaxContacts bounds the contacts of one AOR.
	MaxContacts int      `yaml:"max_contacts" range:"1..100"`
	Overflow    Overflow `yaml:"overflow"`
	// SingleContact has each new contact replace the one before: it stands for
	// MaxContacts 1 and ReplaceOldest.
	SingleContact bool `yaml:"single_contact"`
	// OverflowStatus answers a REGISTER that would exceed MaxContacts.
	OverflowStatus OverflowStatus `yaml:"overflow_status"`
	// Match decides which stored contact a new one replaces when neither RFC
	// 5626 nor push parameters identify the device: "contact",
	// "contact_callid" or "param:NAME".
	Match string `yaml:"match"`
	// StaleStatus answers a REGISTER whose CSeq is not higher than the last.
	StaleStatus StaleStatus `yaml:"stale_status"`
	// RetryAfter is the Retry-After of answers that ask to come back.
	RetryAfter time.Duration `yaml:"retry_after" range:"1s..1h"`
	Path       Path          `yaml:"path"`
	// ServiceRoute are the routes that phones are told to take when they call (RFC
	// 3608).
	ServiceRoute []string      `yaml:"service_route"`
	GRUU         GRUU          `yaml:"gruu"`
	Outbound     Outbound      `yaml:"outbound"`
	Reply        RegisterReply `yaml:"reply"`
	AOR          AORSyntax     `yaml:"aor"`
	// CaptureHeaders are header fields of a REGISTER that are kept with the contact.
	CaptureHeaders []string `yaml:"capture_headers"`
	// Rules change some of this for a domain or for phones by their User-Agent.
	Rules []RegistrarRule `yaml:"rules"`
	// Qualify asks phones whether they are there.
	Qualify Qualify `yaml:"qualify" restart:"yes"`
	// RegEvent says who may watch registrations.
	RegEvent RegEvent `yaml:"reg_event"`
	// Fastpath answers plain refreshes in place.
	Fastpath bool `yaml:"fastpath" restart:"yes"`
}

// Expires is the policy for registration lifetimes.
type Expires struct {
	// Default applies where the request names none; Min and Max bound what is
	// granted to contacts without push (push.expires.max bounds the others).
	Default time.Duration `yaml:"default" range:"1s..720h"`
	Min     time.Duration `yaml:"min" range:"0s..1h"`
	Max     time.Duration `yaml:"max" range:"1s..720h"`
	MinMode MinMode       `yaml:"min_mode"`
	Jitter  Jitter        `yaml:"jitter"`
}

// Jitter changes granted lifetimes at random, so that phones which registered
// together do not return together. The larger of both applies.
type Jitter struct {
	Time      time.Duration `yaml:"time" range:"0s..1h"`
	Percent   int           `yaml:"percent" range:"0..50"`
	Mode      JitterMode    `yaml:"mode"`
	AppliesTo JitterTo      `yaml:"applies_to"`
}

// Limits bound what one request and all of them together may occupy.
type Limits struct {
	// Lengths in bytes of what a REGISTER brings.
	UsernameLen int `yaml:"username_len" range:"1..1024"`
	DomainLen   int `yaml:"domain_len" range:"1..1024"`
	AORLen      int `yaml:"aor_len" range:"1..2048"`
	ContactLen  int `yaml:"contact_len" range:"64..16384"`
	// Bindings bounds the bindings in memory, Watches the requests that watch an
	// AOR for a phone to return.
	Bindings int `yaml:"bindings" range:"1..100000000" restart:"yes"`
	Watches  int `yaml:"watches" range:"1..10000000" restart:"yes"`
	// Nonces bounds the digest nonces that are remembered as used.
	Nonces int `yaml:"nonces" range:"1000..100000000" restart:"yes"`
	// Transactions bounds the SIP transactions alive at once.
	Transactions int `yaml:"transactions" range:"100..10000000" restart:"yes"`
	// Parked bounds the requests that wait for a phone; ParkedPerAOR those of
	// one AOR.
	Parked       int `yaml:"parked" range:"1..10000000" restart:"yes"`
	ParkedPerAOR int `yaml:"parked_per_aor" range:"1..10000" restart:"yes"`
}

// Auth says who is asked for credentials, and who has which.
type Auth struct {
	Mode AuthModes `yaml:"mode"`
	// Realm is what phones show and hash; empty means the first domain, see
	// Config.Realm.
	Realm string `yaml:"realm"`
	// Realms are those of domains that have another.
	Realms []DomainRealm `yaml:"realms"`
	// Algorithms are offered in this order (RFC 8760); Offers replace them for
	// some clients, the first that matches.
	Algorithms []Algorithm `yaml:"algorithms"`
	Offers     []Offer     `yaml:"offers"`
	QOP        []QOP       `yaml:"qop"`
	// UsersFile holds users in the format of docs/operations.md; Users are
	// those of this file. Both together count.
	UsersFile SecretFile `yaml:"users_file"`
	Users     []User     `yaml:"users"`
	// SQL and HTTP are asked for users who are in neither; at most one of both.
	SQL  SQLUsers  `yaml:"sql" restart:"yes"`
	HTTP HTTPUsers `yaml:"http" restart:"yes"`
	// Cache is what is remembered of them.
	Cache UserCache `yaml:"cache" restart:"yes"`
	// Bearer has tokens taken besides passwords if it names an issuer.
	Bearer Bearer `yaml:"bearer"`
	// NonceTTL is how long a nonce may be used.
	NonceTTL time.Duration `yaml:"nonce_ttl" range:"10s..24h"`
	// IdentifyBy is the order in which it is looked how a sender is known.
	IdentifyBy []Means `yaml:"identify_by"`
	// Trusted sources are not asked for credentials.
	Trusted []Trusted `yaml:"trusted"`
	Limit   AuthLimit `yaml:"limit"`
}

// AuthModes says who must authenticate, for the two kinds of request.
type AuthModes struct {
	Registrar AuthMode `yaml:"registrar"`
	Proxy     AuthMode `yaml:"proxy"`
}

// User is one account.
type User struct {
	// Name is the digest user name and the user part of the AOR.
	Name string `yaml:"name"`
	// Realm is where the user logs in; empty means Auth.Realm.
	Realm string `yaml:"realm"`
	// The password in the file or in a file of its own, or one or more of
	// H(name:realm:password) in hexadecimal.
	Password     Secret     `yaml:"password"`
	PasswordFile SecretFile `yaml:"password_file"`
	HA1MD5       Secret     `yaml:"ha1_md5"`
	HA1SHA256    Secret     `yaml:"ha1_sha256"`
	HA1SHA512256 Secret     `yaml:"ha1_sha512_256"`
	// AORs are further addresses of record that the user may register.
	AORs []string `yaml:"aors"`
	// Networks are where the user needs no password.
	Networks []netip.Prefix `yaml:"networks"`
}

// DomainRealm is the realm of a domain.
type DomainRealm struct {
	Domain string `yaml:"domain"`
	Realm  string `yaml:"realm"`
}

// Offer replaces Auth.Algorithms for some clients.
type Offer struct {
	// Listener is where requests come in, UserAgent an RE2 expression that
	// matches their User-Agent; empty matches all.
	Listener  string `yaml:"listener"`
	UserAgent string `yaml:"user_agent"`
	// Algorithms are offered in this order.
	Algorithms []Algorithm `yaml:"algorithms"`
}

// Bearer is for tokens of an authorization server (RFC 8898).
type Bearer struct {
	// Issuer is the iss claim; empty: no tokens are taken.
	Issuer string `yaml:"issuer"`
	// Audience must be among the values of the aud claim.
	Audience string `yaml:"audience"`
	// JWKSURL is where the keys of the issuer are, AuthzServer what phones are
	// told in challenges.
	JWKSURL     string `yaml:"jwks_url"`
	AuthzServer string `yaml:"authz_server"`
	// Scope is what tokens must be good for, and what challenges ask for.
	Scope string `yaml:"scope"`
	// Algorithms are the signatures accepted.
	Algorithms []TokenAlgorithm `yaml:"algorithms"`
	// UserClaim holds the user's name, AORsClaim further addresses of record.
	UserClaim string `yaml:"user_claim"`
	AORsClaim string `yaml:"aors_claim"`
	// Skew is how much the clock of the issuer may differ.
	Skew time.Duration `yaml:"skew" range:"1s..5m"`
	// Refresh is how often the keys are fetched.
	Refresh time.Duration `yaml:"refresh" range:"1m..24h"`
	// Plaintext takes tokens without TLS too.
	Plaintext bool `yaml:"plaintext"`
}

// Trusted is a source that is believed without credentials: a network, whoever has a
// certificate of that name, or the addresses of the next hops of a route.
type Trusted struct {
	CIDR        netip.Prefix `yaml:"cidr"`
	Certificate string       `yaml:"certificate"`
	Route       string       `yaml:"route"`
}

// AuthLimit slows down guessing: failed attempts per source address.
type AuthLimit struct {
	// PerSource is how many failures a minute one address may cause on end,
	// Burst how many at once; 0 sets no limit.
	PerSource int `yaml:"per_source" range:"0..100000"`
	Burst     int `yaml:"burst" range:"1..100000"`
}

// Proxy is the policy for requests that are forwarded (RFC 3261 §16).
type Proxy struct {
	Fork Fork `yaml:"fork"`
	// Sort says which phones come first; it matters unless all are tried at once.
	Sort Sort `yaml:"sort"`
	// MaxLatency leaves out phones that took longer for their last answer to
	// OPTIONS, if others can be reached; 0: none.
	MaxLatency time.Duration `yaml:"max_latency" range:"0s..30s"`
	// Ring is how long a phone rings while others wait for their turn.
	Ring time.Duration `yaml:"ring" range:"1s..3m"`
	// Fallback is where calls go that nobody of a user takes; the first that fits
	// counts. RingTotal is how long phones ring, all in all, before that is so; 0: as
	// long as the caller likes.
	Fallback  []Fallback    `yaml:"fallback"`
	RingTotal time.Duration `yaml:"ring_total" range:"0s..10m"`
	// MethodFilter leaves out phones that did not list the request's method in
	// Allow when they registered.
	MethodFilter bool `yaml:"method_filter"`
	// UAFilter is a regular expression (RE2) that the User-Agents of phones must
	// match; empty: any.
	UAFilter string `yaml:"ua_filter"`
	// Domains are other choices for some of the domains.
	Domains []ProxyDomain `yaml:"domains"`
	// RequireRegisteredCaller refuses requests from addresses at which their
	// sender is not registered.
	RequireRegisteredCaller bool `yaml:"require_registered_caller"`
	// TimerC ends a branch that rings for too long; RFC 3261 §16.6 step 11 wants
	// more than three minutes.
	TimerC time.Duration `yaml:"timer_c" range:"181s..1h" restart:"yes"`
	// RecordRoute keeps this server in the path of dialogs, without which it
	// cannot wake a phone inside one.
	RecordRoute bool `yaml:"record_route"`
	// MaxForwards is given to requests that arrive without Max-Forwards.
	MaxForwards int `yaml:"max_forwards" range:"1..255"`
	// HopTimeout is how long a next hop may be silent before the next one is tried.
	HopTimeout time.Duration `yaml:"hop_timeout" range:"1s..30s"`
	// HopRetry is for how long others are tried before a next hop that has failed.
	HopRetry time.Duration `yaml:"hop_retry" range:"1s..1h"`
	// Routes lead to others than registered phones, for senders that are
	// authenticated or trusted; the first that matches is taken.
	Routes []Route `yaml:"routes"`
	// EventRoutes are where SUBSCRIBE and PUBLISH for users go, by event package.
	EventRoutes []EventRoute `yaml:"event_routes"`
	// Emergency says where emergency calls go.
	Emergency Emergency `yaml:"emergency"`
}

// Route matches Request-URIs and says where they go.
type Route struct {
	Name string `yaml:"name"`
	// Domain is the host to match, empty for the own domains, "*" for all others; Prefix
	// is how the user part begins.
	Domain string `yaml:"domain"`
	Prefix string `yaml:"prefix"`
	// To is the SIP URI of the next hop; NextHops are several.
	To       string    `yaml:"to"`
	NextHops []NextHop `yaml:"next_hops"`
	// Trusted: the next hop is told who calls, and believed (RFC 3325).
	Trusted bool `yaml:"trusted"`
	// LargeByUDP: requests that are too large for a datagram leave as one all the same.
	LargeByUDP bool `yaml:"large_by_udp"`
	// Check says how the next hops are asked whether they are there.
	Check HopCheck `yaml:"check"`
	// Media is the profile of its next hops (media.profiles), "none" for SDP as it is;
	// empty: that of their transport.
	Media string `yaml:"media"`
}

// Log says what is logged to standard error, and how.
type Log struct {
	Level  Level  `yaml:"level"`
	Format Format `yaml:"format" restart:"yes"`
}
