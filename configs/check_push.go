package configs

import (
	"fmt"
	"regexp"
	"strings"
)

func (l *loader) checkPush(cfg *Config) {
	p := &cfg.Push
	if p.TokenOwner == TokenLast && cfg.Auth.Mode.Registrar == Off {
		l.warnAt("push.token_owner", "last changes nothing: who registers is never asked who he is", "set auth.mode.registrar: required")
	}
	if p.Expires.Max <= p.TriggerInterval {
		l.errorAt("push.trigger_interval", fmt.Sprintf("%s is not shorter than push.expires.max, %s",
			formatDuration(p.TriggerInterval), formatDuration(p.Expires.Max)), "every phone would be woken all the time")
	}
	if p.Expires.Max <= p.PNSRegInterval {
		l.errorAt("push.pnsreg_interval", fmt.Sprintf("%s is not shorter than push.expires.max, %s",
			formatDuration(p.PNSRegInterval), formatDuration(p.Expires.Max)), "")
	}
	if p.Expires.Min > p.Expires.Max {
		l.errorAt("push.expires.min", fmt.Sprintf("%s is longer than max, %s", formatDuration(p.Expires.Min), formatDuration(p.Expires.Max)), "")
	}
	if b := p.Refresh.Backoff; b.Min > b.Max {
		l.errorAt("push.refresh.backoff.min", fmt.Sprintf("%s is longer than max, %s", formatDuration(b.Min), formatDuration(b.Max)), "")
	}
	l.checkApps(p)
	l.checkWaking(p)
}

func (l *loader) checkApps(p *Push) {
	seen := names{}
	for i := range p.Apps {
		a := &p.Apps[i]
		at := fmt.Sprintf("push.apps[%d]", i)
		l.checkName(seen, "push.apps", i, a.Name)
		l.checkCredentialKind(a, at)
		l.checkReachable(p.Apps[:i], a, at)
		switch {
		case a.APNs != nil:
			l.checkAPNs(a.APNs, at+".apns")
			l.doubtAPNs(a, at)
		case a.FCM != nil:
			l.checkFCM(a.FCM, at+".fcm")
		case a.WebPush != nil:
			l.checkWebPush(a.WebPush, at+".webpush")
		case a.Webhook != nil:
			l.checkWebhook(a.Webhook, at+".webhook")
		}
	}
}

// AnyProvider is the App.Provider that serves phones of every push service. Only those
// who send pushes themselves can tell what is meant.
const AnyProvider = "*"

// checkCredentialKind wants exactly one of the five groups, and names the
// provider after it.
func (l *loader) checkCredentialKind(a *App, at string) {
	var given []string
	for _, kind := range []string{"apns", "fcm", "webpush", "webhook", "event"} {
		if l.nodes[at+"."+kind] != nil {
			given = append(given, kind)
		}
	}
	switch {
	case len(given) == 0:
		l.errorAt(at, "says nothing about how to push", "add one of the groups apns, fcm, webpush, webhook and event")
	case len(given) > 1:
		l.errorAt(at, strings.Join(given, " and ")+" exclude each other", "make two apps of it")
	case a.Provider == "" && a.Webhook != nil:
		l.required(at+".provider", "name the pn-provider whose pushes the webhook takes")
	case a.Provider == "" && a.Event != nil:
		a.Provider = AnyProvider
	case a.Provider == "":
		a.Provider = given[0]
	}
	if a.Provider == AnyProvider && a.Event != nil {
		return
	}
	// RFC 8599 §8.6 makes pn-provider a URI parameter value.
	if a.Provider != "" && !providerSyntax.MatchString(a.Provider) {
		l.errorAt(at+".provider", fmt.Sprintf("%q cannot be a pn-provider", a.Provider), "use letters, digits, . and -")
	}
}

// providerSyntax keeps to characters that need no escapes in a URI parameter
// nor in a feature capability's tag value.
var providerSyntax = regexp.MustCompile(`^[a-zA-Z0-9.-]{1,64}$`)

// appleID is a team's or key's identifier.
var appleID = regexp.MustCompile(`^[A-Z0-9]{10}$`)

func (l *loader) checkAPNs(c *APNs, at string) {
	var given []string
	for _, key := range []string{"key_file", "cert_file", "p12_file"} {
		if l.nodes[at+"."+key] != nil {
			given = append(given, key)
		}
	}
	switch {
	case len(given) > 1:
		l.errorAt(at, strings.Join(given, " and ")+" exclude each other", "prefer key_file: it does not expire")
	case len(given) == 0:
		l.errorAt(at, "has no credential", "set key_file, key_id and team_id, or cert_file, or p12_file")
	case given[0] == "key_file":
		l.checkAppleID(at+".key_id", c.KeyID)
		l.checkAppleID(at+".team_id", c.TeamID)
	}
	if l.nodes[at+".p12_password"] != nil && l.nodes[at+".p12_password_file"] != nil {
		l.errorAt(at, "p12_password and p12_password_file exclude each other", "keep one")
	} else {
		l.inline(at+".p12_password_file", c.P12PasswordFile, &c.P12Password)
	}
	if c.Host != "" {
		l.checkURL(at+".host", c.Host, "https://host:port", "https")
	}
}

func (l *loader) checkAppleID(path, id string) {
	if id == "" {
		l.required(path, "it belongs to key_file")
	} else if !appleID.MatchString(id) {
		l.errorAt(path, fmt.Sprintf("%q is not 10 capital letters and digits", id), "")
	}
}

func (l *loader) checkFCM(c *FCM, at string) {
	if c.ServiceAccountFile == "" {
		l.required(at+".service_account_file", "download it from the Firebase console")
	}
	if c.Endpoint != "" {
		l.checkURL(at+".endpoint", c.Endpoint, "https://host/v1", "https", "http")
	}
}

func (l *loader) checkWebPush(c *WebPush, at string) {
	if c.VAPIDKeyFile == "" {
		l.required(at+".vapid_key_file", "it holds a P-256 key in PEM")
	}
	// RFC 8292 §2.1 makes the contact optional, but Apple's service refuses
	// pushes without.
	switch {
	case c.Subscriber == "":
		l.required(at+".subscriber", "write mailto:you@example.com")
	case !strings.HasPrefix(c.Subscriber, "mailto:") && !strings.HasPrefix(c.Subscriber, "https://"):
		l.errorAt(at+".subscriber", fmt.Sprintf("%q is neither a mailto: nor an https: URI", c.Subscriber), "write mailto:you@example.com")
	}
	l.doubtSubscriber(at+".subscriber", c.Subscriber)
	if c.Template != "" && !c.Payload {
		l.warnAt(at+".template", "has no effect", "write payload: true")
	}
	if len(c.AllowedHosts) == 0 {
		l.errorAt(at+".allowed_hosts", "allows no push service", "remove the key to allow those of the known browsers")
	}
	for i, h := range c.AllowedHosts {
		if !validHost(strings.TrimPrefix(h, "*.")) {
			l.errorAt(fmt.Sprintf("%s.allowed_hosts[%d]", at, i), fmt.Sprintf("%q is no host", h), "write push.example.com or *.example.com")
		}
	}
}

func (l *loader) checkWebhook(c *Webhook, at string) {
	if c.URL == "" {
		l.required(at+".url", "write https://host/path")
	} else {
		l.checkURL(at+".url", c.URL, "https://host/path", "https", "http")
	}
	if l.nodes[at+".secret"] != nil && l.nodes[at+".secret_file"] != nil {
		l.errorAt(at, "secret and secret_file exclude each other", "keep one")
		return
	}
	l.inline(at+".secret_file", c.SecretFile, &c.Secret)
}
