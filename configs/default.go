package configs

import (
	"net/netip"
	"time"
)

// A defaulter fills itself with defaults before a file's values are laid over
// it. List elements need one, because Default holds none of them.
type defaulter interface{ setDefaults() }

func (l *Listen) setDefaults() { l.Auth = AsMode }

// Default returns the configuration of a server that was given no file: it
// listens on this machine's loopback address only and asks nobody for a
// password. reveille.yaml documents the same values.
func Default() *Config {
	return &Config{
		Listen: []Listen{
			{Name: "udp", Transport: UDP, Addr: "127.0.0.1:5060", Auth: AsMode},
			{Name: "tcp", Transport: TCP, Addr: "127.0.0.1:5060", Auth: AsMode},
		},
		Transport: Transport{
			MaxConns:          20000,
			MaxConnsPerSource: 1000,
			IdleTimeout:       time.Hour,
			KeepAlive:         30 * time.Second,
			UserTimeout:       30 * time.Second,
			WriteTimeout:      5 * time.Second,
			MaxMessage:        65535,
			FlowFresh:         4 * time.Minute,
		},
		Domains: []string{"localhost", "127.0.0.1"},
		Registrar: Registrar{
			Expires: Expires{
				Default: time.Hour,
				Min:     time.Minute,
				Max:     time.Hour,
				MinMode: Raise,
				Jitter:  Jitter{Mode: JitterMinus, AppliesTo: JitterAll},
			},
			DefaultQ:       1,
			MaxContacts:    10,
			Overflow:       RejectNew,
			OverflowStatus: 403,
			Match:          "contact",
			StaleStatus:    500,
			Path:           Path{Mode: PathLazy},
			GRUU:           GRUU{Enabled: true},
			Outbound:       Outbound{Mode: OutboundOn, FlowTimer: 2 * time.Minute},
			Reply:          RegisterReply{Contacts: ReplyAll},
			AOR:            AORSyntax{CaseSensitive: true},
			RetryAfter:     30 * time.Second,
			Qualify:        Qualify{Timeout: 3 * time.Second, Rate: 500},
			RegEvent:       defaultRegEvent(),
			Fastpath:       true,
		},
		Limits: Limits{
			UsernameLen:  64,
			DomainLen:    64,
			AORLen:       256,
			ContactLen:   2048,
			Bindings:     1_000_000,
			Watches:      100_000,
			Nonces:       65536,
			Transactions: 200_000,
			Parked:       50_000,
			ParkedPerAOR: 32,
		},
		Overload: Overload{Target: 100 * time.Millisecond, Interval: 300 * time.Millisecond, RetryAfter: 5 * time.Second},
		Stop:     Stop{Drain: 45 * time.Second},
		Location: defaultLocation(),
		Auth: Auth{
			SQL:        defaultSQLUsers(),
			HTTP:       defaultHTTPUsers(),
			Cache:      defaultUserCache(),
			Mode:       AuthModes{Registrar: Off, Proxy: Off},
			Algorithms: []Algorithm{SHA256, MD5},
			QOP:        []QOP{QOPAuth},
			Bearer: Bearer{
				Algorithms: []TokenAlgorithm{RS256, ES256, EdDSA},
				UserClaim:  "sub",
				Skew:       30 * time.Second,
				Refresh:    time.Hour,
			},
			NonceTTL:   5 * time.Minute,
			IdentifyBy: []Means{ByIP, ByCertificate, ByUsername, ByFrom, ByTo},
			Limit:      AuthLimit{PerSource: 30, Burst: 20},
		},
		Guard: Guard{
			// Nobody can send to us with such an address from outside.
			Exempt: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")},
			Rate:   GuardRate{PerSource: 500, Burst: 5000},
			PerAOR: GuardPerAOR{Registers: 60, Calls: 300, Burst: 100},
			Scanners: []string{
				"friendly-scanner", "friendly-request", "sipvicious", "sipcli", "sundayddr", "sip-scan", "iWar", "sivus", "siparmyknife",
				"smap", "VaxSIPUserAgent", "VaxIPUserAgent", "pplsip",
			},
			Hosts: AnyHost,
			Ban:   GuardBan{Failures: 100, Within: 10 * time.Minute, Time: time.Hour, Sources: 10_000},
		},
		Store: Store{Durability: Fsync, MinFreeMB: 256},
		Push: Push{
			Enabled:         true,
			Unsupported:     RejectPush,
			TokenOwner:      TokenAny,
			Expires:         PushExpires{Max: 30 * day, Min: 4 * time.Minute, Short: TooShortReject},
			TriggerInterval: 120 * time.Second,
			// FCM keeps pushes of normal priority back while a phone dozes.
			TriggerIntervals: map[string]time.Duration{"fcm": time.Hour},
			PNSRegInterval:   130 * time.Second,
			Refresh:          Refresh{Retries: 5, Backoff: Backoff{Min: 5 * time.Second, Max: time.Minute}, PerHour: 60},
			Wait: Wait{
				Invite:   InviteWait{Default: 25 * time.Second, WebPush: 45 * time.Second},
				Message:  15 * time.Second,
				InDialog: 15 * time.Second,
			},
			SilentWait: 8 * time.Second,
			Events:     []string{"message-summary"},
			Policy:     WakePolicies{Default: Race},
			Learn:      Learn{Enabled: true, Failures: 3, After: 2 * day, MinWait: 5 * time.Second},
			Dormant:    Dormant{Retain: 7 * day, WakeEvery: 12 * time.Hour},
			IOS:        IOS{Background: SendBackground},
			Farewell:   NoFarewell,
			IDHeader:   "X-Push-ID",
			Payload:    Payload{Caller: NoCaller},
			PURR:       PURR{Enabled: true},
		},
		Proxy: Proxy{
			Fork:        Parallel,
			Sort:        SortQ,
			Ring:        20 * time.Second,
			TimerC:      181 * time.Second,
			RecordRoute: true,
			MaxForwards: 70, HopTimeout: 6 * time.Second, HopRetry: 30 * time.Second,
		},
		DNS: DNS{
			Timeout: 2 * time.Second,
		},
		Media: Media{
			Calls: MixedCalls, WithoutEngine: FailCalls, Timeout: time.Second, Ping: 5 * time.Second, MaxPending: 10_000,
		},
		Identity: Identity{From: RejectFrom},
		Messages: defaultMessages(),
		Hooks:    Hooks{Register: defaultHook(), Route: defaultHook()},
		Events:   defaultEvents(),
		HEP:      defaultHEP(),
		OTLP:     OTLP{Ratio: 1},
		Calls:    defaultCalls(),
		HTTP:     HTTP{Addr: "127.0.0.1:8080", Console: true, OIDC: defaultOIDC()},
		Log:      Log{Level: Info, Format: Text},
	}
}
