package app

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"reveille/configs"
)

// unusual are configurations that configs.Load takes and the server does not,
// with what it says about them. The names in them are files of the rig.
func unusual(r *rig) []struct{ name, yaml, says string } {
	return []struct{ name, yaml, says string }{
		{"a lead too long for any lifetime", `push: {trigger_interval: 2h}`, "push min expires"},
		{"pnsreg within the lead", `push: {trigger_interval: 10m, pnsreg_interval: 5m}`, "pnsreg 5m0s is not above the lead"},
		{"a route over SCTP", `proxy: {routes: [{name: pstn, prefix: "+", next_hops: [{uri: "sip:192.0.2.1"}, {uri: "sip:gw.example.com;transport=sctp"}]}]}`, "proxy.routes[pstn].next_hops[1].uri"},
		{"a route over WSS", `proxy: {routes: [{name: pstn, prefix: "+", to: "sip:192.0.2.1;transport=wss"}]}`, `proxy.routes[pstn].to: transport "wss"`},
		{"a contact over WS", `aors: [{aor: "sip:alice@example.com", contacts: ["sip:a@192.0.2.1;transport=ws"]}]`, "aors[0].contacts[0]"},
		{"a service account that is none", `push: {apps: [` + r.fcm("android", "ca.pem") + `]}`, "push.apps[android]"},
		{"a webhook template that does not parse", `push: {apps: [{name: hook, provider: acme, webhook: {url: "https://192.0.2.1/", secret: xxxxxxxxxxxxxxxx, body: "{{"}}]}`, "push.apps[hook]"},
		{"users that are none", `auth: {mode: {registrar: required, proxy: required}, users_file: ca.pem}`, "ca.pem"},
		{"sealing keys that are none", `push: {purr: {key_file: ca.pem}}`, "load keyring"},
	}
}

// TestCheck_SaysWhatNewSays holds the two ways to look at a configuration
// together: the check is worth nothing if the server then refuses to start.
func TestCheck_SaysWhatNewSays(t *testing.T) {
	r := newRig(t)
	for _, tt := range unusual(r) {
		t.Run(tt.name, func(t *testing.T) {
			cfg := r.config(tt.yaml)
			err := Check(cfg)
			if err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Fatalf("Check = %v, want %q", err, tt.says)
			}
			a, newErr := New(Options{Config: cfg})
			if newErr == nil {
				t.Fatal("New takes it", a.Stop(t.Context()))
			}
			if !strings.Contains(newErr.Error(), tt.says) {
				t.Errorf("New = %v, want %q as Check says", newErr, tt.says)
			}
		})
	}
}

func TestCheck_TellsAllAtOnce(t *testing.T) {
	r := newRig(t)
	err := Check(r.config(
		`proxy: {routes: [{name: one, prefix: "1", to: "sip:a.example.com;transport=ws"}, {name: two, prefix: "2", to: "sip:b.example.com;transport=ws"}]}`,
		`push: {trigger_interval: 2h, apps: [`+r.fcm("android", "ca.pem")+`, `+strings.Replace(r.fcm("other", "ca.pem"), "param: ", "param: x", 1)+`]}`,
		`auth: {mode: {registrar: required, proxy: required}, users_file: ca.pem}`))
	for _, want := range []string{"routes[one]", "routes[two]", "push min expires", "push.apps[android]", "push.apps[other]", "ca.pem"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in: %v", want, err)
		}
	}
}

// TestCheck_TouchesNothing: a check on a machine where the server runs must not
// disturb it, nor make the files that the server will make.
func TestCheck_TouchesNothing(t *testing.T) {
	r := newRig(t)
	dir := t.TempDir()
	keys := filepath.Join(dir, "purr.keys")
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	cfg := r.config(`listen: [{name: tcp, transport: tcp, addr: "`+taken.Addr().String()+`"}]`, `push: {purr: {key_file: `+keys+`}}`,
		`http: {addr: "`+r.HTTPAddr().String()+`"}`)
	if err := Check(cfg); err != nil {
		t.Errorf("Check = %v, though the ports are none of its business", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("Check made %v, %v", entries, err)
	}
	// New minds the port, and the keys that it made are good.
	if _, err := New(Options{Config: cfg}); err == nil {
		t.Error("New takes a port in use")
	}
	if _, err := os.Stat(keys); err != nil {
		t.Errorf("New made no keys: %v", err)
	}
	if err := Check(cfg); err != nil {
		t.Errorf("Check with keys = %v", err)
	}
}

func TestCheck_Good(t *testing.T) {
	r := newRig(t)
	if err := Check(configs.Default()); err != nil {
		t.Errorf("Check of the defaults = %v", err)
	}
	for _, lines := range [][]string{
		nil,
		{`push: {enabled: false}`},
		{`proxy: {routes: [{name: pstn, prefix: "+", to: "sip:192.0.2.1;transport=tcp"}]}`},
		{`transport: {keepalive: 0s}`},
	} {
		if err := Check(r.config(lines...)); err != nil {
			t.Errorf("Check with %q = %v", lines, err)
		}
	}
}

func TestWarnings(t *testing.T) {
	r := newRig(t)
	lonely := r.config(`listen: [{name: udp, transport: udp, addr: "127.0.0.1:5060"}]`)
	if got := Warnings(lonely); len(got) != 1 || !strings.Contains(got[0], "no listener on TCP") {
		t.Errorf("Warnings = %q, want one about TCP", got)
	}
	// What the loader has said is not said twice.
	wide := r.config(`listen: [{name: tcp, transport: tcp, addr: ":5060"}]`)
	if got := Warnings(wide); len(got) != 0 {
		t.Errorf("Warnings = %q, want none", got)
	}
}
