package configs

import "log/slog"

// A Secret is a value that is used but never shown.
type Secret string

const redacted = "<redacted>"

// Reveal returns the secret itself.
func (s Secret) Reveal() string { return string(s) }

// String hides the secret from fmt.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return redacted
}

// GoString hides the secret from %#v.
func (s Secret) GoString() string { return `"` + s.String() + `"` }

// LogValue hides the secret from slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText hides the secret from encoders.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// File types say what Load checks. ${NAME} in a path comes from the environment,
// and a relative path starts at the folder of the configuration file.
type (
	// SecretFile must be readable, and not by everyone.
	SecretFile string
	// Folder is made by the server if its parent exists.
	Folder string
	// KeyringFile is a SecretFile that the server makes if it does not exist.
	KeyringFile string
	// SocketFile is made by the server in a folder that exists; NoSocket is none.
	SocketFile string
	// LogFile is made by the server and appended to.
	LogFile string
	// CertFile must hold PEM certificates, maybe with a key. One that has expired
	// is only worth a warning: a server that starts all the same serves those who
	// do not need it.
	CertFile string
	// ChainFile must hold PEM certificates; the same is true for them.
	ChainFile string
)

// enum is a string type with a closed set of values; the zero value is only
// allowed if the set holds it.
type enum interface{ values() []string }

// ListenerTransport is a protocol that a listener speaks.
type ListenerTransport string

// The transports.
const (
	UDP ListenerTransport = "udp"
	TCP ListenerTransport = "tcp"
	TLS ListenerTransport = "tls"
	WS  ListenerTransport = "ws"
	WSS ListenerTransport = "wss"
)

func (ListenerTransport) values() []string {
	return []string{string(UDP), string(TCP), string(TLS), string(WS), string(WSS)}
}

// MinMode says what becomes of a lifetime below the minimum.
type MinMode string

// Raise grants the minimum, Reject answers 423 with Min-Expires.
const (
	Raise  MinMode = "raise"
	Reject MinMode = "reject"
)

func (MinMode) values() []string { return []string{string(Raise), string(Reject)} }

// Overflow says what becomes of one contact too many.
type Overflow string

// RejectNew refuses the REGISTER, ReplaceOldest drops the contact that was
// refreshed longest ago, ReplaceUnavailable only one that cannot be reached.
const (
	RejectNew          Overflow = "reject"
	ReplaceOldest      Overflow = "replace_oldest"
	ReplaceUnavailable Overflow = "replace_unavailable"
)

func (Overflow) values() []string {
	return []string{string(RejectNew), string(ReplaceOldest), string(ReplaceUnavailable)}
}

// OverflowStatus is the SIP status that refuses one contact too many.
type OverflowStatus int

func (OverflowStatus) values() []string { return []string{"403", "503"} }

// AuthMode says whether a request must be authenticated.
type AuthMode string

// Required challenges everyone but trusted sources, Off nobody.
const (
	Required AuthMode = "required"
	Off      AuthMode = "off"
)

func (AuthMode) values() []string { return []string{string(Required), string(Off)} }

// ListenerAuth is an AuthMode of one listener.
type ListenerAuth string

// AsMode leaves it to auth.mode; the others are for REGISTER, calls and everything
// else.
const (
	AsMode           ListenerAuth = "mode"
	ListenerRequired ListenerAuth = "required"
	ListenerOff      ListenerAuth = "off"
)

func (ListenerAuth) values() []string {
	return []string{string(AsMode), string(ListenerRequired), string(ListenerOff)}
}

// Algorithm is a digest algorithm by its name on the wire.
type Algorithm string

// The digest algorithms (RFC 8760).
const (
	SHA512256 Algorithm = "SHA-512-256"
	SHA256    Algorithm = "SHA-256"
	MD5       Algorithm = "MD5"
)

func (Algorithm) values() []string { return []string{string(SHA512256), string(SHA256), string(MD5)} }

// QOP is a quality of protection of a digest (RFC 7616 §3.4).
type QOP string

// The qualities: the method and URI, or the body too.
const (
	QOPAuth    QOP = "auth"
	QOPAuthInt QOP = "auth-int"
)

func (QOP) values() []string { return []string{string(QOPAuth), string(QOPAuthInt)} }

// Means is how a sender is known.
type Means string

// The means.
const (
	ByIP          Means = "ip"
	ByCertificate Means = "certificate"
	ByUsername    Means = "auth_username"
	ByFrom        Means = "from"
	ByTo          Means = "to"
)

func (Means) values() []string {
	return []string{string(ByIP), string(ByCertificate), string(ByUsername), string(ByFrom), string(ByTo)}
}

// TokenAlgorithm is a signature algorithm of tokens by its JOSE name (RFC 7518
// §3.1).
type TokenAlgorithm string

// The signature algorithms accepted by default.
const (
	RS256 TokenAlgorithm = "RS256"
	ES256 TokenAlgorithm = "ES256"
	EdDSA TokenAlgorithm = "EdDSA"
)

func (TokenAlgorithm) values() []string {
	return []string{string(RS256), "RS384", "RS512", "PS256", "PS384", "PS512", string(ES256), "ES384", "ES512", string(EdDSA)}
}

// Unsupported says what becomes of a REGISTER that names a push service for
// which no app is configured.
type Unsupported string

// RejectPush answers 555, AcceptWithoutPush registers the contact without push.
const (
	RejectPush        Unsupported = "reject"
	AcceptWithoutPush Unsupported = "accept"
)

func (Unsupported) values() []string { return []string{string(RejectPush), string(AcceptWithoutPush)} }

// TokenOwner says to whom a push token belongs with which several users register.
type TokenOwner string

// TokenAny lets all of them have it, TokenLast who logged in last.
const (
	TokenAny  TokenOwner = "any"
	TokenLast TokenOwner = "last"
)

func (TokenOwner) values() []string { return []string{string(TokenAny), string(TokenLast)} }

// WakePolicy says when a request for a phone leads to a push.
type WakePolicy string

// Always pushes and waits even if the flow looks alive, Asleep only if it does
// not. Race calls a phone that looks alive at once and pushes too if nothing
// comes back.
const (
	Always WakePolicy = "always"
	Asleep WakePolicy = "asleep"
	Race   WakePolicy = "race"
)

func (WakePolicy) values() []string { return []string{string(Always), string(Asleep), string(Race)} }

// Environment is one of Apple's two push services.
type Environment string

// The environments. A token of one is unknown in the other.
const (
	Production Environment = "production"
	Sandbox    Environment = "sandbox"
)

func (Environment) values() []string { return []string{string(Production), string(Sandbox)} }

// Fork is the order in which the phones of one AOR are tried.
type Fork string

// Parallel tries all phones at once, Sequential one group after the other,
// FirstOnly the preferred one alone.
const (
	Parallel   Fork = "parallel"
	Sequential Fork = "sequential"
	FirstOnly  Fork = "first_only"
)

func (Fork) values() []string {
	return []string{string(Parallel), string(Sequential), string(FirstOnly)}
}

// Sort says which phones are preferred.
type Sort string

// SortQ prefers the highest q, equal ones being a group; SortRecent prefers the
// phone that registered last.
const (
	SortQ      Sort = "q"
	SortRecent Sort = "recent"
	// SortLatency prefers the phone that answered OPTIONS the fastest.
	SortLatency Sort = "latency"
)

func (Sort) values() []string {
	return []string{string(SortQ), string(SortRecent), string(SortLatency)}
}

// Level is the least level that is logged.
type Level string

// The levels.
const (
	Debug Level = "debug"
	Info  Level = "info"
	Warn  Level = "warn"
	Error Level = "error"
)

func (Level) values() []string {
	return []string{string(Debug), string(Info), string(Warn), string(Error)}
}

// Format is the form of log lines.
type Format string

// The formats.
const (
	Text Format = "text"
	JSON Format = "json"
)

func (Format) values() []string { return []string{string(Text), string(JSON)} }

// Durability is what the 200 to a REGISTER promises.
type Durability string

// Fsync survives a power loss, Write the end of the process, InMemory nothing.
const (
	Fsync    Durability = "fsync"
	Write    Durability = "write"
	InMemory Durability = "memory"
)

func (Durability) values() []string { return []string{string(Fsync), string(Write), string(InMemory)} }
