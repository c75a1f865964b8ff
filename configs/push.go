package configs

import (
	"slices"
	"time"
)

// Push is the policy for waking phones (RFC 8599).
type Push struct {
	Enabled bool `yaml:"enabled" restart:"yes"`
	// Unsupported says what becomes of a REGISTER for a push service without app.
	Unsupported Unsupported `yaml:"unsupported"`
	// TokenOwner says who has a token with which several users registered.
	TokenOwner TokenOwner  `yaml:"token_owner" restart:"yes"`
	Expires    PushExpires `yaml:"expires"`
	// TriggerInterval is how long before its expiry a phone is woken to refresh
	// (RFC 8599 §5.5: at least 120 s).
	TriggerInterval time.Duration `yaml:"trigger_interval" range:"120s..24h"`
	// TriggerIntervals are longer ones for some pn-providers, at most half of the
	// lifetime.
	TriggerIntervals map[string]time.Duration `yaml:"trigger_intervals" range:"120s..24h"`
	// PNSRegInterval is the sip.pnsreg value for phones that wake by themselves
	// (RFC 8599 §5.6.1: more than 120 s).
	PNSRegInterval time.Duration `yaml:"pnsreg_interval" range:"121s..24h"`
	Refresh        Refresh       `yaml:"refresh"`
	Wait           Wait          `yaml:"wait"`
	// SilentWait is how long a request waits for a phone to come back by itself
	// when policy forbids a push.
	SilentWait time.Duration `yaml:"silent_wait" range:"1s..30s"`
	// Methods wake phones besides INVITE, MESSAGE and all that comes inside calls.
	Methods []string `yaml:"methods"`
	// Events are event packages whose NOTIFY wakes phones that did not subscribe.
	Events []string     `yaml:"events"`
	Policy WakePolicies `yaml:"policy"`
	// SkipInterval is for how long after its REGISTER a phone is taken to be awake.
	SkipInterval SkipIntervals `yaml:"skip_interval"`
	Learn        Learn         `yaml:"learn"`
	Dormant      Dormant       `yaml:"dormant"`
	IOS          IOS           `yaml:"ios"`
	// Farewell is for phones that were pushed for a call which ended before they woke.
	Farewell Farewell `yaml:"farewell"`
	// IDHeader names, to the phone that was woken, the push; empty: no header does.
	IDHeader string  `yaml:"id_header"`
	Payload  Payload `yaml:"payload"`
	// Mappings are for apps older than RFC 8599; the first that fits counts.
	Mappings []Mapping `yaml:"mappings"`
	PURR     PURR      `yaml:"purr" restart:"yes"`
	// Apps are asked in order; the first whose provider and param match takes
	// the push.
	Apps []App `yaml:"apps"`
}

// PushExpires bounds the lifetime of bindings that can be woken.
type PushExpires struct {
	Max time.Duration `yaml:"max" range:"10m..365d"`
	// Min is the shortest lifetime with which a phone can be woken in time; Short
	// says what becomes of shorter wishes.
	Min   time.Duration `yaml:"min" range:"121s..1h"`
	Short TooShort      `yaml:"short"`
}

// Refresh says how often a phone is woken again that did not refresh.
type Refresh struct {
	Retries int     `yaml:"retries" range:"0..20"`
	Backoff Backoff `yaml:"backoff"`
	// PerHour bounds all refresh pushes that one phone gets in an hour.
	PerHour int `yaml:"per_hour" range:"1..3600"`
}

// Backoff is the first and the longest pause between retries; it doubles.
type Backoff struct {
	Min time.Duration `yaml:"min" range:"1s..1h"`
	Max time.Duration `yaml:"max" range:"1s..24h"`
}

// Wait is how long a request waits for a woken phone.
type Wait struct {
	Invite InviteWait `yaml:"invite"`
	// A request other than INVITE must be answered before its sender gives up
	// after 32 s (RFC 3261 §17.1.2.2, Timer F).
	Message  time.Duration `yaml:"message" range:"1s..30s"`
	InDialog time.Duration `yaml:"in_dialog" range:"1s..30s"`
	// Rules come before all of these; the first that fits a request counts.
	Rules []WaitRule `yaml:"rules"`
}

// WaitRule is how long some requests wait.
type WaitRule struct {
	// InDialog says that it is for requests inside calls, otherwise for those
	// outside. Method and Provider, a pn-provider, narrow it down; empty means all.
	InDialog bool          `yaml:"in_dialog"`
	Method   string        `yaml:"method"`
	Provider string        `yaml:"provider"`
	Wait     time.Duration `yaml:"wait" range:"1s..170s"`
}

// InviteWait is how long an INVITE waits: a person may have to click on a web
// push.
type InviteWait struct {
	Default time.Duration `yaml:"default" range:"1s..170s"`
	WebPush time.Duration `yaml:"webpush" range:"1s..170s"`
}

// WakePolicies say when a phone is woken although it may be reachable.
type WakePolicies struct {
	Default WakePolicy `yaml:"default"`
	// UserAgents come first; the first whose expression matches counts. Providers
	// overrides Default for one pn-provider.
	UserAgents []UserAgentPolicy     `yaml:"user_agents"`
	Providers  map[string]WakePolicy `yaml:"providers"`
}

// For returns the policy for a pn-provider.
func (p WakePolicies) For(provider string) WakePolicy {
	if policy, ok := p.Providers[provider]; ok {
		return policy
	}
	return p.Default
}

// UserAgentPolicy is the policy for phones with a User-Agent.
type UserAgentPolicy struct {
	// UserAgent is a regular expression (RE2).
	UserAgent string     `yaml:"user_agent"`
	Policy    WakePolicy `yaml:"policy"`
}

// SkipIntervals are for how long after its REGISTER a phone is not pushed to.
type SkipIntervals struct {
	Default time.Duration `yaml:"default" range:"0s..1h"`
	// Providers overrides Default for one pn-provider.
	Providers map[string]time.Duration `yaml:"providers" range:"0s..1h"`
}

// For returns the interval for a pn-provider.
func (s SkipIntervals) For(provider string) time.Duration {
	if d, ok := s.Providers[provider]; ok {
		return d
	}
	return s.Default
}

// Learn is about phones that have not woken for long: they are waited for less.
type Learn struct {
	Enabled bool `yaml:"enabled"`
	// Failures is how many pushes in a row must have woken nobody, the first of them
	// at least After ago.
	Failures int           `yaml:"failures" range:"1..1000"`
	After    time.Duration `yaml:"after" range:"1m..365d"`
	// MinWait is the least that is waited.
	MinWait time.Duration `yaml:"min_wait" range:"1s..60s"`
}

// Dormant is about phones whose registration has ended: RFC 8599 §5.5 has them
// woken no more.
type Dormant struct {
	Enabled bool `yaml:"enabled"`
	// Retain is for how long after its end a registration is kept, WakeEvery how
	// often its phone is woken meanwhile.
	Retain    time.Duration `yaml:"retain" range:"1h..90d"`
	WakeEvery time.Duration `yaml:"wake_every" range:"1h..30d"`
}

// PURR is RFC 8599 §6.2: waking phones inside long dialogs.
type PURR struct {
	Enabled bool `yaml:"enabled"`
	// KeyFile holds the sealing keys; empty makes a key that lasts as long as
	// the process, so that after a restart dialogs lose their way to the phone.
	KeyFile KeyringFile `yaml:"key_file"`
}

// App is one credential: it may push to the phones whose pn-provider and
// pn-param match. Exactly one of APNs, FCM, WebPush, Webhook and Event is set.
type App struct {
	// Name is what logs and metrics call it; unique.
	Name string `yaml:"name"`
	// Provider is the pn-provider; empty means the usual one of the push service.
	Provider string `yaml:"provider"`
	// Param is a pattern for pn-param in which * stands for any characters.
	Param string `yaml:"param"`
	// Queue bounds the pushes that wait, InFlight those under way.
	Queue    int `yaml:"queue" range:"1..1000000"`
	InFlight int `yaml:"in_flight" range:"1..1000"`

	APNs    *APNs    `yaml:"apns"`
	FCM     *FCM     `yaml:"fcm"`
	WebPush *WebPush `yaml:"webpush"`
	Webhook *Webhook `yaml:"webhook"`
	Event   *Event   `yaml:"event"`
}

// setDefaults implements defaulter.
func (a *App) setDefaults() { *a = App{Param: "*", Queue: 1000, InFlight: 100} }

// Type returns "apns", "fcm", "webpush", "webhook" or "event": which credential is set.
func (a *App) Type() string {
	switch {
	case a.APNs != nil:
		return "apns"
	case a.FCM != nil:
		return "fcm"
	case a.WebPush != nil:
		return "webpush"
	case a.Webhook != nil:
		return "webhook"
	case a.Event != nil:
		return "event"
	}
	return ""
}

// APNs is a credential for Apple's push service: a token key or a certificate.
type APNs struct {
	// KeyFile is the .p8 of a token key; KeyID and TeamID belong to it.
	KeyFile SecretFile `yaml:"key_file"`
	KeyID   string     `yaml:"key_id"`
	TeamID  string     `yaml:"team_id"`
	// CertFile is a PEM file with the certificate and its key.
	CertFile CertFile `yaml:"cert_file"`
	// P12File is the same as the Keychain of a Mac exports it; the password is
	// that of the export.
	P12File         SecretFile  `yaml:"p12_file"`
	P12Password     Secret      `yaml:"p12_password"`
	P12PasswordFile SecretFile  `yaml:"p12_password_file"`
	Environment     Environment `yaml:"environment"`
	// Host replaces the environment's server: https://host:port. CAFile says
	// whom to believe there.
	Host   string   `yaml:"host"`
	CAFile CertFile `yaml:"ca_file"`
	// Alerts are what iOS shows for pushes that do not go to PushKit.
	Alerts Alerts `yaml:"alerts"`
	// Template is a Go text/template for the JSON of the payload; empty means the
	// default one.
	Template string `yaml:"template"`
}

// Alerts are texts by kind of push; with an empty one the push goes in the
// background. A call that iOS does not show is lost, a message waits for the app.
type Alerts struct {
	Call    string `yaml:"call"`
	Message string `yaml:"message"`
}

func (a *APNs) setDefaults() {
	*a = APNs{Environment: Production, Alerts: Alerts{Call: "Incoming call"}}
}

// FCM is a credential for Google's push service.
type FCM struct {
	ServiceAccountFile SecretFile `yaml:"service_account_file"`
	// Project is the Firebase project; empty means the service account's.
	Project string `yaml:"project"`
	// Endpoint replaces https://fcm.googleapis.com/v1. CAFile says whom to
	// believe there.
	Endpoint string   `yaml:"endpoint"`
	CAFile   CertFile `yaml:"ca_file"`
	// Template is a Go text/template for the data, a JSON object of strings; empty
	// means the default one.
	Template string `yaml:"template"`
}

// WebPush is a key for browsers' push services (RFC 8030, RFC 8292).
type WebPush struct {
	VAPIDKeyFile SecretFile `yaml:"vapid_key_file"`
	// OldVAPIDKeyFiles are keys that were used before: subscriptions are bound to
	// theirs.
	OldVAPIDKeyFiles []SecretFile `yaml:"old_vapid_key_files"`
	// Subscriber is the mailto: or https: address of the operator.
	Subscriber string `yaml:"subscriber"`
	// AllowedHosts are the push services that subscriptions may name, a leading
	// "*." standing for any subdomain.
	AllowedHosts []string `yaml:"allowed_hosts"`
	// AllowPrivate also permits addresses of private networks.
	AllowPrivate bool     `yaml:"allow_private"`
	CAFile       CertFile `yaml:"ca_file"`
	// Payload sends one, encrypted, to phones that give the keys for it.
	Payload bool `yaml:"payload"`
	// Template is a Go text/template for the JSON of the payload; empty means the
	// default one.
	Template string `yaml:"template"`
}

func (w *WebPush) setDefaults() { *w = WebPush{AllowedHosts: slices.Clone(knownWebPushHosts())} }

// knownWebPushHosts are the push services of the browsers in wide use.
func knownWebPushHosts() []string {
	return []string{
		"fcm.googleapis.com", "updates.push.services.mozilla.com", "*.push.apple.com", "*.notify.windows.com",
	}
}

// Event hands the push to whoever gets events, who sends it and may report what became
// of it. It has no keys.
type Event struct{}

// Webhook hands the push to a program of the operator's by HTTP POST.
type Webhook struct {
	URL string `yaml:"url"`
	// Secret signs the body; it comes from the file or the environment.
	Secret     Secret     `yaml:"secret"`
	SecretFile SecretFile `yaml:"secret_file"`
	// Body is a Go text/template for the JSON body; empty means the default one.
	Body   string   `yaml:"body"`
	CAFile CertFile `yaml:"ca_file"`
}
