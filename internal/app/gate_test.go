package app

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// registers returns the status of a REGISTER with these header fields.
func (w *wire) registers(more ...string) string {
	w.t.Helper()
	w.send(w.request("REGISTER", "sip:example.com", append([]string{"From: <sip:alice@example.com>;tag=f"}, more...)...))
	line := w.status()
	return strings.TrimPrefix(line, "SIP/2.0 ")[:3]
}

func TestACL_Source(t *testing.T) {
	for _, tt := range []struct {
		name, rules string
		tcp, udp    string // the answers to a REGISTER
	}{
		{"denied", `[{deny: 127.0.0.0/8}]`, "403", "403"},
		{"permitted behind", `[{deny: 0.0.0.0/0}, {permit: 127.0.0.1/32}]`, "401", "401"},
		{"permitted in front", `[{permit: 127.0.0.1/32}, {deny: 0.0.0.0/0}]`, "403", "403"},
		{"on a listener", `[{deny: 127.0.0.0/8, listener: udp}]`, "401", "403"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, `acl: {source: `+tt.rules+`}`)
			for transport, want := range map[string]string{"tcp": tt.tcp, "udp": tt.udp} {
				w := r.dial(transport)
				if got := w.registers(); got != want {
					t.Errorf("REGISTER over %s: %s, want %s", transport, got, want)
				}
				// It is about every request.
				w.send(w.request("OPTIONS", "sip:example.com"))
				w.expect(map[string]int{"401": 200, "403": 403}[want])
				w.send(w.request("INVITE", "sip:bob@example.com"))
				if want == "403" {
					w.expect(403)
				}
			}
			if denied := r.metric("reveille_acl_denied_total", "source"); (denied > 0) != (tt.tcp == "403" || tt.udp == "403") {
				t.Errorf("%v requests counted", denied)
			}
		})
	}
}

func TestACL_Contact(t *testing.T) {
	const rules = `acl: {contact: [{deny: 192.0.2.0/24}, {permit: 192.0.2.7/32}, {deny: "2001:db8::/32"}]}`
	for _, mode := range []string{openYAML, usersYAML} {
		r := newRig(t, rules, mode)
		w := r.dial("tcp")
		for contact, want := range map[string]string{
			"<sip:a@192.0.2.1>":                       "403",
			"<sip:a@192.0.2.7>":                       "200",
			"<sip:a@[2001:db8::1]:5060>":              "403",
			"<sip:a@198.51.100.1>, <sip:a@192.0.2.1>": "403",
			"<sip:a@phone.invalid>":                   "200",
			"<sip:a@192.0.2.1>;expires=0":             "403",
		} {
			if mode == usersYAML {
				// A stranger is challenged, and not told what is denied.
				if got := w.registers("Contact: " + contact); got != "401" {
					t.Errorf("without credentials, Contact %s: %s, want 401", contact, got)
				}
				continue
			}
			if got := w.registers("Contact: " + contact); got != want {
				t.Errorf("Contact %s: %s, want %s", contact, got, want)
			}
		}
		if mode == usersYAML {
			// The phones of these rigs are on loopback.
			r.register(r.phone("alice", "udp", ""))
		}
	}
}

// A list with a name stands for its rules, in their order.
func TestACL_Named(t *testing.T) {
	const named = `acl: {named: [{name: home, rules: [{permit: 127.0.0.0/8, listener: udp}, {deny: 127.0.0.2/32}]}], source: [%s]}`
	for _, tt := range []struct{ name, rules, tcp, udp string }{
		{"behind", `{deny: 0.0.0.0/0}, {list: home}`, "403", "401"},
		{"in front", `{list: home}, {deny: 0.0.0.0/0}`, "403", "403"},
		{"for a listener", `{deny: 0.0.0.0/0}, {list: home, listener: tcp}`, "401", "403"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, fmt.Sprintf(named, tt.rules))
			for transport, want := range map[string]string{"tcp": tt.tcp, "udp": tt.udp} {
				if got := r.dial(transport).registers(); got != want {
					t.Errorf("REGISTER over %s: %s, want %s", transport, got, want)
				}
			}
		})
	}
}

// A reload changes what is denied, for plain refreshes too.
func TestACL_Reload(t *testing.T) {
	r := newRig(t, openYAML)
	w := r.dial("udp")
	refresh := func() string {
		return w.registers("Contact: <sip:a@192.0.2.1>")
	}
	for range 2 {
		if got := refresh(); got != "200" {
			t.Fatalf("REGISTER: %s", got)
		}
	}
	for _, rules := range []string{`acl: {contact: [{deny: 192.0.2.0/24}]}`, `acl: {source: [{deny: 127.0.0.0/8}]}`} {
		if err := r.Reload(r.config(openYAML, rules)); err != nil {
			t.Fatal(err)
		}
		if got := refresh(); got != "403" {
			t.Errorf("with %s: %s, want 403", rules, got)
		}
	}
}

// Some phones give up when the first challenge is one they do not know.
func TestOffers_ByUserAgent(t *testing.T) {
	const offers = `auth: {mode: {registrar: required}, users: [{name: alice, password: secret}], offers: [{user_agent: '^baresip v?1\.', algorithms: [MD5]}]}`
	r := newRig(t, offers)
	for agent, want := range map[string]int{"baresip v1.0.0": 1, "Linphone/5.1": 2} {
		w := r.dial("tcp")
		w.send(w.request("REGISTER", "sip:example.com", "From: <sip:alice@example.com>;tag=f", "User-Agent: "+agent))
		lines := 0
		for {
			line, err := w.r.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(line, "WWW-Authenticate: ") {
				lines++
			}
			if line == "\r\n" {
				break
			}
		}
		if lines != want {
			t.Errorf("%s: %d challenges, want %d", agent, lines, want)
		}
	}
	r.register(r.phone("alice", "udp", ""))
}

// An authServer signs tokens, and serves its keys over HTTP unless it is down.
type authServer struct {
	t    *testing.T
	key  jose.JSONWebKey
	url  string
	down atomic.Bool
}

func newAuthServer(t *testing.T) *authServer {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := &authServer{t: t, key: jose.JSONWebKey{Key: private, KeyID: "k", Algorithm: string(jose.ES256)}}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if a.down.Load() {
			http.Error(w, "down", http.StatusServiceUnavailable)
			return
		}
		if err := json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{a.key.Public()}}); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(s.Close)
	a.url = s.URL
	return a
}

func (a *authServer) token(user string, expires time.Time) string {
	a.t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: a.key}, nil)
	if err != nil {
		a.t.Fatal(err)
	}
	token, err := jwt.Signed(signer).Claims(map[string]any{
		"iss": "https://as.example.com", "aud": "sip", "sub": user, "exp": expires.Unix(), "aors": []string{"sip:sales@example.com"},
	}).Serialize()
	if err != nil {
		a.t.Fatal(err)
	}
	return token
}

func (a *authServer) yaml() string {
	return fmt.Sprintf(`auth: {mode: {registrar: required, proxy: required}, users: [{name: bob, password: secret}], bearer: {issuer: "https://as.example.com", `+
		`audience: sip, jwks_url: %q, authz_server: "https://as.example.com", aors_claim: aors, plaintext: true}}`, a.url)
}

func TestBearer_RFC8898_2_1_3(t *testing.T) {
	as := newAuthServer(t)
	r := newRig(t, as.yaml())
	w := r.dial("tcp")
	later, before := time.Now().Add(time.Hour), time.Now().Add(-time.Hour)
	for _, tt := range []struct{ name, to, header, want string }{
		{"own AOR", "alice", "Authorization: Bearer " + as.token("alice", later), "200"},
		{"an AOR of the token", "sales", "Authorization: Bearer " + as.token("alice", later), "200"},
		{"another's AOR", "bob", "Authorization: Bearer " + as.token("alice", later), "403"},
		{"expired", "alice", "Authorization: Bearer " + as.token("alice", before), "401"},
		{"nonsense", "alice", "Authorization: Bearer nonsense", "401"},
		{"nothing", "alice", "X: y", "401"},
	} {
		if got := w.registers(fmt.Sprintf("To: <sip:%s@example.com>", tt.to), tt.header); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
	// Passwords work as before, and the keys survive a reload.
	r.register(r.phone("bob", "udp", ""))
	as.down.Store(true)
	if err := r.Reload(r.config(as.yaml(), `log: {level: debug}`)); err != nil {
		t.Fatal(err)
	}
	if got := w.registers("Authorization: Bearer " + as.token("alice", later)); got != "200" {
		t.Errorf("after a reload: %s", got)
	}
}

// A server of keys that is down opens no door.
func TestBearer_KeysUnknown(t *testing.T) {
	as := newAuthServer(t)
	as.down.Store(true)
	r := newRig(t, as.yaml())
	if got := r.dial("tcp").registers("Authorization: Bearer " + as.token("alice", time.Now().Add(time.Hour))); got != "503" {
		t.Errorf("REGISTER: %s, want 503", got)
	}
	r.register(r.phone("bob", "udp", ""))
}

// Stop waits for no server of keys.
func TestStop_EndsLookups(t *testing.T) {
	asked := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(asked)
		<-r.Context().Done()
	}))
	t.Cleanup(s.Close)
	as := newAuthServer(t)
	as.url = s.URL
	r := newRig(t, as.yaml())
	w := r.dial("udp")
	w.send(w.request("REGISTER", "sip:example.com", "Authorization: Bearer "+as.token("alice", time.Now().Add(time.Hour))))
	<-asked
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	start := time.Now()
	if err := r.Stop(ctx); err != nil {
		t.Logf("Stop: %v", err)
	}
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("Stop took %v", took)
	}
}

func TestCheck_DanglingAORs(t *testing.T) {
	r := newRig(t)
	r.file("users.yaml", []byte("users:\n  - {name: carol, password: x, aors: [sip:carol@elsewhere.test, sip:sales@EXAMPLE.com]}\n"))
	err := Check(r.config(`auth: {mode: {registrar: required, proxy: required}, users_file: users.yaml}`))
	want := `users.yaml:2:5: user "carol": aor "sip:carol@elsewhere.test": elsewhere.test is none of domains`
	if err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("Check() = %v, want %s", err, want)
	}
}

// Where case does not count, a user whom nobody would find is reported, and an
// address is the user's however it is written.
func TestUsersFile_WhereCaseDoesNotCount(t *testing.T) {
	const fold = `registrar: {aor: {case_sensitive: false}}`
	const file = `auth: {mode: {registrar: required, proxy: required}, users_file: users.yaml}`
	r := newRig(t, fold)
	r.file("users.yaml", []byte("users:\n  - {name: carol, password: x}\n  - {name: Dave, password: x}\n"))
	err := Check(r.config(file, fold))
	if want := `users.yaml:3:5: user "Dave": is not in lower case, and registrar.aor.case_sensitive is false`; err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("Check() = %v, want %s", err, want)
	}
	if err := Check(r.config(file)); err != nil {
		t.Errorf("where case counts: %v", err)
	}
	r.file("users.yaml", []byte("users:\n  - {name: carol, password: secret, aors: [sip:Sales@example.com]}\n"))
	if err := r.Reload(r.config(file, fold)); err != nil {
		t.Fatal(err)
	}
	if !r.gate.known("sip:sales@example.com") || r.gate.known("sip:nobody@example.com") {
		t.Error("the address of carol is not known, or any is")
	}
}

// A listener may ask for more or for less than the others, and a reload changes
// that.
func TestListenerAuth(t *testing.T) {
	listen := func(udp, tcp string) string {
		return fmt.Sprintf(`listen: [{name: udp, transport: udp, addr: "127.0.0.1:0", auth: %q}, {name: tcp, transport: tcp, addr: "127.0.0.1:0", auth: %q}]`, udp, tcp)
	}
	r := newRig(t, listen("off", "mode"))
	answers := func() string {
		w, v := r.dial("udp"), r.dial("tcp")
		// The second refreshes what the first registered, on the short way.
		contact := "Contact: <sip:a@192.0.2.1>"
		return w.registers(contact) + " " + w.registers(contact) + " " + v.registers(contact)
	}
	if got := answers(); got != "200 200 401" {
		t.Errorf("off, mode: %s", got)
	}
	if err := r.Reload(r.config(listen("required", "off"))); err != nil {
		t.Fatal(err)
	}
	if got := answers(); got != "401 401 200" {
		t.Errorf("required, off: %s", got)
	}
}
