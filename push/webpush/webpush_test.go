package webpush

import (
	"encoding/base64"
	"errors"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"reveille/push"
	"reveille/push/pushsim"
	"reveille/push/pushtest"
)

// startSim starts push services of the same credentials.
var startSim = pushtest.Sims()

func options(sim *pushsim.Server) Options {
	return Options{
		VAPIDPublic: sim.Credentials().VAPIDPublic(), VAPIDPrivate: sim.Credentials().VAPIDPrivate(),
		Subscriber: pushsim.Subscriber, AllowedHosts: []string{"127.0.0.1"}, AllowPrivate: true, RootCAs: sim.RootCAs(),
	}
}

func newSender(t *testing.T, o Options) *Sender {
	t.Helper()
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func request(endpoint string) *push.Request {
	return &push.Request{
		AOR: "sip:alice@example.com", Params: push.Params{Provider: "webpush"},
		Tokens: []push.Token{{PRID: endpoint}}, Kind: push.Call, CallID: "call@192.0.2.1", PushID: "p1",
		Deadline: time.Now().Add(45 * time.Second),
	}
}

func TestConformance(t *testing.T) {
	pushtest.Run(t, func(t *testing.T) pushtest.Fixture {
		sim := startSim(t, pushsim.Options{})
		endpoint := sim.SubscriptionURL("alice-laptop-1")
		return pushtest.Fixture{
			Sender:   newSender(t, options(sim)),
			Request:  func() *push.Request { return request(endpoint) },
			Set:      func(f pushsim.Fault) { sim.SetFault(endpoint, f) },
			Received: func() int { return len(sim.Pushes()) },
		}
	})
}

func TestSend_WhatIsSent_RFC8030_5(t *testing.T) {
	sim := startSim(t, pushsim.Options{})
	s := newSender(t, options(sim))
	for kind, urgency := range map[push.Kind]string{push.Call: "high", push.Cancel: "high", push.Refresh: "normal"} {
		sim.Forget()
		r := request(sim.SubscriptionURL("a"))
		r.Kind = kind
		if o := s.Send(t.Context(), r); o.Class != push.OK || o.Status != 201 {
			t.Fatalf("%v: outcome = %+v, want ok, 201", kind, o)
		}
		p := sim.Pushes()[0]
		if p.Payload != "" || p.Priority != urgency || p.CollapseID != push.CollapseID(r) {
			t.Errorf("%v: push = %+v, want no payload, urgency %s, a topic", kind, p, urgency)
		}
		if left := time.Until(p.Expiration); left < 40*time.Second || left > 46*time.Second {
			t.Errorf("%v: expires in %v, want the time to the deadline", kind, left)
		}
	}
}

func TestSend_SubscriberForms_RFC8292_2_1(t *testing.T) {
	sim := startSim(t, pushsim.Options{})
	for _, sub := range []string{"push@example.com", "mailto:push@example.com", "https://example.com/push"} {
		o := options(sim)
		o.Subscriber = sub
		if out := newSender(t, o).Send(t.Context(), request(sim.SubscriptionURL("a"))); out.Class != push.OK {
			t.Errorf("%s: outcome = %+v, want ok", sub, out)
		}
	}
}

func TestSend_OtherKeyIsCredentialOnceWidespread(t *testing.T) {
	sim := startSim(t, pushsim.Options{})
	o := options(sim)
	var err error
	if o.VAPIDPublic, o.VAPIDPrivate, err = GenerateKeys(); err != nil {
		t.Fatal(err)
	}
	s := newSender(t, o)
	for i := range widespread + 2 {
		want := push.Suspect
		if i+1 >= widespread {
			want = push.Credential
		}
		if out := s.Send(t.Context(), request(sim.SubscriptionURL(strconv.Itoa(i)))); out.Class != want {
			t.Errorf("push %d: class = %v, want %v", i+1, out.Class, want)
		}
	}
	// One success says that it was the subscriptions.
	s.refused(sim.URL(), "", push.OK)
	if out := s.Send(t.Context(), request(sim.SubscriptionURL("x"))); out.Class != push.Suspect {
		t.Errorf("after a success: class = %v, want suspect", out.Class)
	}
}

func TestVAPID_HeaderIsSignedOncePerOrigin(t *testing.T) {
	sim := startSim(t, pushsim.Options{})
	s := newSender(t, options(sim))
	now := time.Now()
	first, err := s.keys.current().header("https://push.example.net", now)
	if err != nil {
		t.Fatal(err)
	}
	again, _ := s.keys.current().header("https://push.example.net", now.Add(headerLife-time.Second))
	later, _ := s.keys.current().header("https://push.example.net", now.Add(headerLife))
	other, _ := s.keys.current().header("https://push.example.org", now)
	if first != again || first == later || first == other {
		t.Error("header is not cached for its origin and time")
	}
	// As RFC 8292 §2.4 lays it out: t and k, audience and expiry.
	tok, ok := strings.CutPrefix(first, "vapid t=")
	tok, key, ok2 := strings.Cut(tok, ", k=")
	if !ok || !ok2 || key != sim.Credentials().VAPIDPublic() || len(key) != 87 {
		t.Fatalf("header = %q, want vapid t=, k=", first)
	}
	var claims jwt.RegisteredClaims
	if _, _, err := jwt.NewParser().ParseUnverified(tok, &claims); err != nil {
		t.Fatal(err)
	}
	if claims.Audience[0] != "https://push.example.net" || claims.Subject != "mailto:"+pushsim.Subscriber {
		t.Errorf("claims = %+v, want audience and subscriber", claims)
	}
	if left := claims.ExpiresAt.Sub(now); left <= headerLife || left > 24*time.Hour {
		t.Errorf("token ends in %v, want more than %v and at most a day", left, headerLife)
	}
}

func TestVAPID_HeadersAreBounded(t *testing.T) {
	public, private, err := GenerateKeys()
	if err != nil {
		t.Fatal(err)
	}
	v, err := newVAPID(public, private, "a@example.com")
	if err != nil {
		t.Fatal(err)
	}
	for i := range maxOrigins + 5 {
		v.headers["https://"+strconv.Itoa(i)] = header{}
		if len(v.headers) > maxOrigins {
			delete(v.headers, "https://"+strconv.Itoa(i))
		}
	}
	if _, err := v.header("https://new", time.Now()); err != nil || len(v.headers) > maxOrigins {
		t.Errorf("%d headers, err %v; want at most %d", len(v.headers), err, maxOrigins)
	}
}

func TestGuard_Check_RFC8599_13(t *testing.T) {
	open, err := newGuard([]string{"push.example.net", "*.notify.windows.com"}, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		endpoint string
		origin   string // "" for refused
	}{
		{"https://push.example.net/abc", "https://push.example.net"},
		{"https://PUSH.example.net/AbC?d=1", "https://push.example.net"},
		{"https://push.example.net:443/abc", "https://push.example.net"},
		{"https://db5p.notify.windows.com/w/?token=x", "https://db5p.notify.windows.com"},
		{"http://push.example.net/abc", ""},
		{"https://push.example.net:8443/abc", ""},
		{"https://user@push.example.net/abc", ""},
		{"https://push.example.net@evil.example/abc", ""},
		{"https://push.example.net.evil.example/abc", ""},
		{"https://evil.example/push.example.net", ""},
		{"https://notify.windows.com/abc", ""},
		{"https://127.0.0.1/abc", ""},
		{"https://[::1]/abc", ""},
		{"https:push.example.net", ""},
		{"https:///abc", ""},
		{"https://push.example.net/#frag", ""},
		{"//push.example.net/abc", ""},
		{"https://push.example.net%2f@x/", ""},
		{"\x7f", ""},
		{"", ""},
	} {
		u, err := open.check(c.endpoint)
		if (err == nil) != (c.origin != "") {
			t.Errorf("check(%q) = %v, want allowed %t", c.endpoint, err, c.origin != "")
			continue
		}
		if err == nil && origin(u) != c.origin {
			t.Errorf("origin of %q = %q, want %q", c.endpoint, origin(u), c.origin)
		}
		if err != nil && len(c.endpoint) > 8 && strings.Contains(err.Error(), c.endpoint) {
			t.Errorf("error quotes the endpoint: %v", err)
		}
	}
	for _, h := range DefaultHosts() {
		g, err := newGuard(nil, false)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := g.check("https://" + strings.Replace(h, "*", "web", 1) + "/x"); err != nil {
			t.Errorf("%s: %v", h, err)
		}
	}
}

func TestGuard_Public(t *testing.T) {
	for addr, want := range map[string]bool{
		"93.184.216.34": true, "2606:2800:220:1::1": true, "8.8.8.8": true,
		"127.0.0.1": false, "10.1.2.3": false, "172.16.0.1": false, "192.168.1.1": false, "169.254.169.254": false,
		"100.64.0.1": false, "0.0.0.0": false, "0.1.2.3": false, "224.0.0.1": false, "255.255.255.255": false,
		"192.0.0.1": false, "198.18.0.1": false, "240.0.0.1": false,
		"::": false, "::1": false, "fe80::1": false, "fc00::1": false, "ff02::1": false,
		"::ffff:127.0.0.1": false, "::ffff:169.254.169.254": false, "::7f00:1": false,
		"64:ff9b::7f00:1": false, "2002:7f00:1::": false, "2001::1": false, "2001:db8::1": false, "fec0::1": false,
		"64:ff9b:1::a00:1": false, "::ffff:0:127.0.0.1": false, "100::1": false, "3fff::1": false, "5f00::1": false, "fe80::1%eth0": false,
	} {
		if got := public(netip.MustParseAddr(addr)); got != want {
			t.Errorf("public(%s) = %t, want %t", addr, got, want)
		}
	}
}

// A name is allowed, but leads to a private address: what matters is where the
// connection goes.
func TestSend_PrivateAddressIsRefusedAtDial(t *testing.T) {
	sim := startSim(t, pushsim.Options{})
	o := options(sim)
	o.AllowPrivate = false
	o.AllowedHosts = []string{"localhost", "127.0.0.1"}
	s := newSender(t, o)
	for _, host := range []string{"localhost", "127.0.0.1"} {
		out := s.Send(t.Context(), request("https://"+host+"/wp/a"))
		if out.Class != push.Rejected || !errors.Is(out.Err, errPrivate) {
			t.Errorf("%s: outcome = %+v, want rejected, address not allowed", host, out)
		}
	}
	if out := s.Send(t.Context(), request(sim.SubscriptionURL("a"))); out.Class != push.Rejected || out.Reason != "EndpointNotAllowed" {
		t.Errorf("outcome = %+v, want rejected because of the port", out)
	}
	if n := sim.Conns(); n != 0 {
		t.Errorf("%d connections, want none", n)
	}
}

func TestClassify(t *testing.T) {
	for _, c := range []struct {
		status int
		body   string
		class  push.Class
		scope  push.Scope
	}{
		{201, "", push.OK, 0},
		{202, "", push.OK, 0},
		{200, "", push.OK, 0},
		{307, "", push.Rejected, 0},
		{400, "", push.Rejected, 0},
		{400, `{"reason":"VapidPkHashMismatch"}`, push.Suspect, 0},
		{401, "", push.Suspect, 0},
		{403, "", push.Suspect, 0},
		{404, "", push.Gone, 0},
		{410, "", push.Gone, 0},
		{413, "", push.Rejected, 0},
		{429, "", push.Throttled, push.ScopeLane},
		{500, "", push.Unavailable, 0},
		{503, "", push.Unavailable, 0},
	} {
		class, scope, reason := classify(c.status, foreignKey(c.status, []byte(c.body)))
		if class != c.class || scope != c.scope || (reason == "") != (class == push.OK) {
			t.Errorf("classify(%d, %q) = %v, %d, %q; want %v, %d", c.status, c.body, class, scope, reason, c.class, c.scope)
		}
	}
}

func TestPart_IsTheOrigin(t *testing.T) {
	sim := startSim(t, pushsim.Options{})
	s := newSender(t, options(sim))
	if got := s.Part(request(sim.SubscriptionURL("secret"))); got != sim.URL() {
		t.Errorf("part = %q, want %q", got, sim.URL())
	}
	if got := s.Part(request("https://evil.example/secret")); got != "" {
		t.Errorf("part of what is not allowed = %q, want none", got)
	}
}

func TestNew_RefusesBadOptions(t *testing.T) {
	public, private, err := GenerateKeys()
	if err != nil {
		t.Fatal(err)
	}
	otherPublic, _, err := GenerateKeys()
	if err != nil {
		t.Fatal(err)
	}
	good := Options{VAPIDPublic: public, VAPIDPrivate: private, Subscriber: "a@example.com"}
	s := newSender(t, good)
	if s.PublicKey() != public {
		t.Errorf("public key = %q, want %q", s.PublicKey(), public)
	}
	for name, change := range map[string]func(*Options){
		"no private key": func(o *Options) { o.VAPIDPrivate = "" },
		"not base64":     func(o *Options) { o.VAPIDPrivate = "!" },
		"not of P-256":   func(o *Options) { o.VAPIDPrivate = base64.RawURLEncoding.EncodeToString(make([]byte, 32)) },
		"not a pair":     func(o *Options) { o.VAPIDPublic = otherPublic },
		"no subscriber":  func(o *Options) { o.Subscriber = "" },
		"http":           func(o *Options) { o.Subscriber = "http://example.com" },
		"host pattern":   func(o *Options) { o.AllowedHosts = []string{"["} },
	} {
		o := good
		change(&o)
		if _, err := New(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
