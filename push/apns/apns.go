// Package apns wakes iPhones through Apple's push service, with
// github.com/sideshow/apns2.
//
// A VoIP push is sent for calls alone: iOS ends an app that gets one and shows
// no call, and stops delivering. Everything else goes to the device's other
// token, as an alert or in the background, and is Forbidden if it has none.
package apns

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/sideshow/apns2"

	"reveille/push"
	"reveille/push/internal/exchange"
	"reveille/push/internal/payload"
)

// Hosts of Apple's service. A device token is of one of the two environments,
// which its build of the app decides.
const (
	Production = apns2.HostProduction
	Sandbox    = apns2.HostDevelopment
)

// Options of a Sender. Either KeyP8, KeyID and TeamID are set, or Token, or
// Certificate.
type Options struct {
	// KeyP8 is the content of the .p8 file, KeyID and TeamID its 10 characters
	// and those of the account.
	KeyP8         []byte
	KeyID, TeamID string
	// Token is that of a Sender with the same key, in place of the three above.
	Token *Token
	// Certificate is the older way: a certificate for one app.
	Certificate tls.Certificate
	// Host is the URL of the service; default Production.
	Host string
	// RootCAs of the service; nil for the system's.
	RootCAs *x509.CertPool
	// Alerts are the texts of pushes that iOS shows, by Kind. A Kind without
	// text is sent in the background, which iOS may delay or drop. Nil means
	// DefaultAlerts.
	Alerts map[push.Kind]string
	// Template makes the JSON for the app (docs/push.md says what it
	// sees); empty means what push.Payload lists. Without an aps dictionary it
	// gets the usual one; with one, it decides itself whether iOS shows something.
	Template string
}

// Sender pushes with one credential to one environment. It is safe for
// concurrent use.
type Sender struct {
	client   *apns2.Client
	alerts   map[push.Kind]string
	template *payload.Template // nil: the usual payload
	token    *Token            // nil: by certificate
	notAfter time.Time
}

var _ push.Sender = (*Sender)(nil)

// New checks the credential and returns a Sender. It does not connect.
func New(o Options) (*Sender, error) {
	if o.Host == "" {
		o.Host = Production
	}
	if o.Alerts == nil {
		o.Alerts = DefaultAlerts()
	}
	tmpl, err := newTemplate(o.Template, o.Alerts)
	if err != nil {
		return nil, err
	}
	tlsConfig := &tls.Config{RootCAs: o.RootCAs, MinVersion: tls.VersionTLS12}
	client := &apns2.Client{Host: o.Host}
	var notAfter time.Time
	switch {
	case (len(o.KeyP8) > 0 || o.Token != nil) && len(o.Certificate.Certificate) > 0:
		return nil, errors.New("apns: both a key and a certificate")
	case o.Token == nil && len(o.KeyP8) > 0:
		if o.Token, err = NewToken(o.KeyP8, o.KeyID, o.TeamID); err != nil {
			return nil, err
		}
		client.Token = o.Token.token
	case o.Token != nil:
		client.Token = o.Token.token
	case len(o.Certificate.Certificate) > 0:
		tlsConfig.Certificates = []tls.Certificate{o.Certificate}
		leaf, err := x509.ParseCertificate(o.Certificate.Certificate[0])
		if err != nil {
			return nil, fmt.Errorf("apns: read certificate: %w", err)
		}
		notAfter = leaf.NotAfter
	default:
		return nil, errors.New("apns: neither a key nor a certificate")
	}
	addr, err := address(o.Host)
	if err != nil {
		return nil, err
	}
	client.HTTPClient = exchange.NewClient(&exchange.Transport{Base: newLink(addr, tlsConfig)})
	return &Sender{client: client, alerts: o.Alerts, template: tmpl, token: o.Token, notAfter: notAfter}, nil
}

// address is where the service of this URL is dialled.
func address(host string) (string, error) {
	u, err := url.Parse(host)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" {
		return "", fmt.Errorf("apns: host %q is no https URL", host)
	}
	return net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "443")), nil
}

// Token is what the Sender authenticates with, for another Sender of the same
// key; nil with a certificate.
func (s *Sender) Token() *Token { return s.token }

// NotAfter is when the certificate ends; zero with a key, which does not.
func (s *Sender) NotAfter() time.Time { return s.notAfter }

// Close implements push.Sender.
func (s *Sender) Close() error {
	s.client.CloseIdleConnections()
	return nil
}

// Send implements push.Sender.
func (s *Sender) Send(ctx context.Context, r *push.Request) push.Outcome {
	n, o := s.notification(r)
	if n == nil {
		return o
	}
	o, x := s.push(ctx, r, n)
	if o.Reason == apns2.ReasonExpiredProviderToken && s.token.renew(x.Authorization, time.Now()) {
		o, _ = s.push(ctx, r, n)
		o.Attempts = 2
	}
	return o
}

func (s *Sender) push(ctx context.Context, r *push.Request, n *apns2.Notification) (push.Outcome, *exchange.Record) {
	ctx, x := exchange.With(ctx)
	resp, err := s.client.PushWithContext(ctx, n)
	o, answered := x.Outcome(time.Now(), err)
	if !answered {
		return o, x
	}
	a := answer{status: x.Status}
	if err == nil { // otherwise the body was no JSON, as from a proxy
		a.reason, a.since, o.ID = resp.Reason, resp.Timestamp.Time, exchange.ID(resp.ApnsID)
	}
	o.Class, o.Scope = a.classify(r.BoundAt)
	if o.Class != push.OK {
		o.Reason = exchange.Reason(a.reason)
		o.GoneSince = a.since
		o.Err = fmt.Errorf("apns answered %d %s", o.Status, o.Reason)
	}
	return o, x
}

// notification builds the push for r, or says with n == nil why there is none.
func (s *Sender) notification(r *push.Request) (n *apns2.Notification, o push.Outcome) {
	tok, ok := r.Token()
	if !ok {
		return nil, push.Outcome{Class: push.Forbidden, Reason: "NoTokenForKind"}
	}
	topic := r.Params.Topic(tok.Use)
	if strings.HasSuffix(topic, ".voip") {
		// PushKit's topic, by whatever name the provider goes.
		tok.Use = push.VoIP
	}
	if tok.Use == push.VoIP && r.Kind != push.Call {
		return nil, push.Outcome{Class: push.Forbidden, Reason: "VoIPForCallsOnly"}
	}
	if !hexToken(tok.PRID) {
		return nil, push.Outcome{
			Class: push.Rejected, Reason: apns2.ReasonBadDeviceToken,
			Err: errors.New("apns: device token is not hexadecimal"),
		}
	}
	n = &apns2.Notification{
		DeviceToken: tok.PRID,
		Topic:       topic,
		CollapseID:  push.CollapseID(r),
		Expiration:  expiration(r.Deadline),
		Priority:    apns2.PriorityHigh,
	}
	f := s.form(r, tok, time.Now())
	n.Payload, n.PushType = f.body, f.kind
	if f.kind == apns2.PushTypeBackground {
		n.Priority = apns2.PriorityLow // APNs refuses 10 for background
	}
	return n, o
}

// expiration is when APNs drops the push. apns2 sends none for times up to the
// epoch, and APNs then keeps the push for days; 1 means now or never, like 0.
func expiration(deadline time.Time) time.Time {
	if deadline.Unix() < 1 {
		return time.Unix(1, 0)
	}
	return deadline
}

// hexToken reports whether s can be a device token. apns2 puts it into the path
// as it is, where "../" would make another request of it.
func hexToken(s string) bool {
	// Apple says not to rely on the length; today's have 64 digits, or 160.
	if s == "" || len(s) > 200 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
			return false
		}
	}
	return true
}
