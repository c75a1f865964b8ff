package app

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"reveille/internal/phone"
	"reveille/push/pushsim"
	"reveille/usrloc"
)

// reload takes over a configuration or fails the test.
func (r *rig) reload(lines ...string) {
	r.t.Helper()
	if err := r.Reload(r.config(lines...)); err != nil {
		r.t.Fatalf("Reload = %v", err)
	}
}

func TestReload_Users(t *testing.T) {
	r := newRig(t)
	alice := r.phone("alice", "udp", "")
	r.register(alice)
	r.reload(`auth: {mode: {registrar: required, proxy: required}, users: [{name: alice, password: changed}, {name: carol, password: secret}]}`)
	if err := alice.Register(r.within()); status(err) != 401 {
		t.Errorf("Register with the old password = %v, want 401", err)
	}
	r.register(r.phone("alice", "udp", "", func(o *phone.Options) { o.Password = "changed" }))
	r.register(r.phone("carol", "tcp", ""))
	if err := r.phone("bob", "udp", "").Register(r.within()); status(err) != 401 {
		t.Errorf("Register of a user who is gone = %v, want 401", err)
	}
}

// TestReload_UsersFile: new contents count although no key has changed.
func TestReload_UsersFile(t *testing.T) {
	const fromFile = `auth: {mode: {registrar: required, proxy: required}, users_file: users}`
	r := newRig(t)
	r.file("users", []byte("users: [{name: alice, password: secret}]\n"))
	r.reload(fromFile)
	alice := r.phone("alice", "udp", "")
	if err := alice.Register(r.within()); err != nil {
		t.Fatalf("Register = %v", err)
	}
	r.file("users", []byte("users: [{name: bob, password: secret}]\n"))
	r.reload(fromFile)
	if err := alice.Register(r.within()); status(err) != 401 {
		t.Errorf("Register = %v, want 401", err)
	}
	r.register(r.phone("bob", "udp", ""))
}

func TestReload_Domains(t *testing.T) {
	r := newRig(t)
	p := r.phone("alice", "tcp", "", func(o *phone.Options) { o.Domain = "example.net" })
	if err := p.Register(r.within()); err == nil {
		t.Fatal("a phone of a foreign domain registered")
	}
	r.reload(`domains: [example.com, example.net]`)
	r.register(p)
	r.reload()
	if err := p.Register(r.within()); err == nil {
		t.Error("a phone of a domain that is gone registered")
	}
}

// TestReload_KeepsQueuedPushes changes the credential while one push is under
// way and another waits behind it: both phones ring.
func TestReload_KeepsQueuedPushes(t *testing.T) {
	t.Parallel()
	three := strings.Replace(usersYAML, "users: [", "users: [{name: carol, password: secret}, ", 1)
	r := newRig(t, three)
	tokens := map[string]string{"alice": "token-of-alice", "bob": "token-of-bob"}
	r.sim.SetFault("", pushsim.Fault{Kind: pushsim.Accept, Delay: 300 * time.Millisecond})
	answers, phones := make(chan error, len(tokens)), map[string]*phone.Phone{}
	caller := r.phone("carol", "udp", "")
	r.register(caller)
	for user, token := range tokens {
		phones[user] = r.sleeper(user, "tcp", token)
		go func() {
			call, err := caller.Call(r.within(), "sip:"+user+"@example.com")
			if err == nil {
				err = call.Bye(r.within())
			}
			answers <- err
		}()
	}
	// Until the first has been taken, the lane sends one at a time.
	r.eventually("two pushes are taken over by the dispatcher", func() bool { return r.metric("reveille_proxy_push_request_seconds") == 2 })
	sent := len(r.sim.Pushes())
	before := r.senders.list[0].app.Sender
	r.file("new.json", r.sim.ServiceAccountJSON())
	r.reload(three, `push: {wait: {invite: {default: 20s}}, apps: [`+
		strings.Replace(r.fcm("android", "new.json"), "endpoint:", `project: `+pushsim.ProjectID+`, endpoint:`, 1)+`]}`)
	if r.senders.list[0].app.Sender == before {
		t.Error("the credential was not replaced")
	}
	if sent == len(tokens) {
		t.Log("both pushes had been answered before the reload")
	}
	for range tokens {
		if err := <-answers; err != nil {
			t.Errorf("call = %v", err)
		}
	}
	for user, token := range tokens {
		if n := r.pushes(token); n != 1 {
			t.Errorf("%d pushes to %s, want 1", n, user)
		}
	}
	// The new credential works.
	phones["alice"].Sleep()
	if err := ring(r, caller); err != nil || r.pushes(tokens["alice"]) != 2 {
		t.Errorf("call after the reload = %v, with %d pushes in all, want 2", err, r.pushes(tokens["alice"]))
	}
}

// TestReload_SameCredentialIsKept: its connections, and what APNs has seen of
// its tokens, would be lost for nothing.
func TestReload_SameCredentialIsKept(t *testing.T) {
	r := newRig(t)
	before := r.senders.list[0].app.Sender
	r.reload(`domains: [example.com, example.net]`)
	if r.senders.list[0].app.Sender != before {
		t.Error("the sender was made anew although its credential is the same")
	}
	// The file has other contents now.
	creds, err := pushsim.NewCredentials()
	if err != nil {
		t.Fatal(err)
	}
	r.file("ca.pem", creds.CAPEM())
	r.reload()
	if r.senders.list[0].app.Sender == before {
		t.Error("the sender was kept although its CA is another")
	}
}

// TestReload_WrongConfigurationChangesNothing: what is right in it is not taken
// over either, wherever the mistake is.
func TestReload_WrongConfigurationChangesNothing(t *testing.T) {
	t.Parallel()
	for _, tt := range unusual(newRig(t)) {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			// The mistake comes with changes that would be taken.
			for _, u := range unusual(r) {
				if u.name == tt.name {
					tt.yaml = u.yaml
				}
			}
			lines := []string{
				`domains: [example.com, example.net]`, `proxy: {max_forwards: 5}`,
				`auth: {mode: {registrar: "off", proxy: "off"}}`, `push: {apps: []}`, tt.yaml,
			}
			before, senders, rules := r.App.config, r.App.senders, r.gate.rules.Load()
			err := r.Reload(r.config(lines...))
			if err == nil {
				t.Fatal("Reload = nil")
			}
			if r.App.config != before || r.gate.rules.Load() != rules || r.App.senders != senders {
				t.Errorf("after %q, something of the new configuration is in force", err)
			}
			if got := r.registrar.Policy().Domains; len(got) != 1 {
				t.Errorf("the registrar serves %v", got)
			}
			if got := r.App.pushes.Providers(); len(got) != 1 || got[0] != "fcm" {
				t.Errorf("the push apps serve %v, want fcm", got)
			}
			r.register(r.phone("alice", "udp", "token-of-alice"))
			p := r.phone("mallory", "udp", "")
			if err := p.Register(r.within()); status(err) != 401 {
				t.Errorf("Register of an unknown user = %v, want 401", err)
			}
		})
	}
}

func TestReload_RestartOnlyKeysAreRefused(t *testing.T) {
	r := newRig(t)
	taken := func(want float64) {
		t.Helper()
		if got := testutil.ToFloat64(r.loads.taken); got != want {
			t.Errorf("reveille_config_last_reload_successful = %v, want %v", got, want)
		}
	}
	taken(1)
	for key, yaml := range map[string]string{
		"listen[udp].addr":    strings.Replace(listenYAML, `addr: "127.0.0.1:0"`, `addr: "127.0.0.1:5099"`, 1),
		"http.addr":           `http: {addr: ""}`,
		"node.id":             `node: {id: 7}`,
		"transport.max_conns": `transport: {max_conns: 5000}`,
		"limits.parked":       `limits: {parked: 10}`,
		"push.enabled":        `push: {enabled: false}`,
		"proxy.timer_c":       `proxy: {timer_c: 200s}`,
	} {
		before := r.App.config
		err := r.Reload(r.config(yaml))
		if err == nil || !strings.Contains(err.Error(), key) || !strings.Contains(err.Error(), "restart") {
			t.Errorf("Reload with %s = %v, want %q to need a restart", yaml, err, key)
		}
		if r.App.config != before {
			t.Errorf("%s: the configuration in force has changed", key)
		}
		taken(0)
	}
	if err := r.Reload(r.config()); err != nil {
		t.Fatal(err)
	}
	taken(1)
	r.Unreadable()
	taken(0)
}

// TestReload_KeepsWhatGoesOn: bindings and calls that wait are no business of a
// reload.
func TestReload_KeepsWhatGoesOn(t *testing.T) {
	r := newRig(t)
	const token = "token-of-alice"
	alice, bob := r.phone("alice", "tcp", token), r.phone("bob", "udp", "")
	r.register(alice)
	alice.Sleep()
	r.register(bob)
	answer := make(chan error, 1)
	go func() { answer <- ring(r, bob) }()
	r.eventually("the call waits", func() bool { return r.Parked() == 1 && r.pushes(token) == 1 })
	r.reload(`push: {wait: {invite: {default: 15s}}, refresh: {retries: 0}, apps: [`+r.fcm("android", "fcm.json")+`]}`,
		`domains: [example.com, example.net]`)
	if err := alice.Wake(r.within()); err != nil {
		t.Fatal(err)
	}
	if err := <-answer; err != nil {
		t.Errorf("the call that waited: %v", err)
	}
	rec, err := r.Store().Get(r.within(), usrloc.AOR("sip:bob@example.com"))
	if err != nil || len(rec.Bindings) != 1 {
		t.Errorf("bob has %d bindings, %v, want 1", len(rec.Bindings), err)
	}
}
