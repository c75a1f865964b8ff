package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"reveille/configs"
	"reveille/internal/admin"
	"reveille/internal/app"
	"reveille/internal/phone"
	"reveille/push"
	"reveille/push/pushsim"
)

// A pushRig is a server with pretend push services behind it and a control socket.
type pushRig struct {
	t      *testing.T
	sim    *pushsim.Server
	app    *app.App
	config string
	pushed chan struct{} // has an element after a push that was taken
}

// newPushRig starts pretend push services, and a server unless it is not wanted.
func newPushRig(t *testing.T, server bool) *pushRig {
	t.Helper()
	r := &pushRig{t: t, pushed: make(chan struct{}, 1)}
	// A socket's path must be short.
	dir, err := os.MkdirTemp("", "rv")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if r.sim, err = pushsim.Start(pushsim.Options{OnPush: func(pushsim.Push) {
		select {
		case r.pushed <- struct{}{}:
		default:
		}
	}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.sim.Close() })
	r.config = filepath.Join(dir, "r.yaml")
	for name, content := range map[string]string{
		"ca.pem": string(r.sim.Credentials().CAPEM()), "fcm.json": string(r.sim.ServiceAccountJSON()), "key.p8": string(r.sim.Credentials().KeyP8()),
		"r.yaml": fmt.Sprintf(`listen: [{name: tcp, transport: tcp, addr: "127.0.0.1:0"}, {name: udp, transport: udp, addr: "127.0.0.1:0"}]
domains: [example.com]
auth: {mode: {registrar: "off", proxy: "off"}}
control: {socket: c}
http: {addr: ""}
push:
  apps:
    - {name: android, param: %s, fcm: {service_account_file: fcm.json, endpoint: %q, ca_file: ca.pem}}
    - {name: ios, apns: {key_file: key.p8, key_id: %s, team_id: %s, host: %q, ca_file: ca.pem}}
`, pushsim.ProjectID, r.sim.FCMEndpoint(), pushsim.KeyID, pushsim.TeamID, r.sim.URL()),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if !server {
		return r
	}
	cfg, _, err := configs.Load(r.config, configs.Env{})
	if err != nil {
		t.Fatal(err)
	}
	if r.app, err = app.New(app.Options{Config: cfg}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := r.app.Stop(ctx); err != nil {
			t.Errorf("Stop = %v", err)
		}
	})
	if err := r.app.Start(); err != nil {
		t.Fatal(err)
	}
	return r
}

// register has a phone of user register with push data.
func (r *pushRig) register(user, token string) *phone.Phone {
	r.t.Helper()
	p, err := phone.New(phone.Options{
		User: user, Domain: "example.com", Server: r.app.Addr("tcp").String(), Transport: "tcp",
		Push: phone.Push{Provider: "fcm", Param: pushsim.ProjectID, PRID: token},
	})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(p.Close)
	ctx, cancel := context.WithTimeout(r.t.Context(), 20*time.Second)
	defer cancel()
	if err := p.Register(ctx); err != nil {
		r.t.Fatal(err)
	}
	return p
}

// run runs a command line, in which CONFIG stands for the configuration.
func (r *pushRig) run(stdin, line string) (code int, stdout, stderr string) {
	r.t.Helper()
	args := strings.Fields(strings.ReplaceAll(line, "CONFIG", r.config))
	var out, errs strings.Builder
	code = run(args, program{input: strings.NewReader(stdin), stdout: &out, stderr: &errs, lookupEnv: os.LookupEnv})
	return code, out.String(), errs.String()
}

const appleToken = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func TestPushTest(t *testing.T) {
	r := newPushRig(t, true)
	r.register("alice", "alices-token")
	r.register("bob", "bobs-token")
	r.sim.SetFault("bobs-token", pushsim.Fault{Kind: pushsim.Gone})
	r.sim.SetFault(appleToken, pushsim.Fault{Kind: pushsim.BadToken})
	apple := "--provider apns --param " + pushsim.TeamID + "." + pushsim.BundleID
	secret := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(secret, []byte("in-a-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, stdin, line string
		code              int
		stdout, stderr    []string
	}{
		{"a user", "", "alice@example.com", exitOK, []string{"sip:alice@example.com, fcm " + pushsim.ProjectID, "ok: HTTP 200, 1 attempt", "took the push"}, nil},
		{"a dead token", "", "bob@example.com", exitFailed, []string{"gone: UNREGISTERED, HTTP 404", "dead", "What to do: The app has to run"}, nil},
		{"nobody", "", "carol@example.com", exitFailed, nil, []string{"no phone that a push wakes is registered"}},
		{"a token", "", "--provider fcm --param " + pushsim.ProjectID + " --prid abc", exitOK, []string{"fcm " + pushsim.ProjectID + " (refresh)"}, nil},
		{"a token in a file", "", "--provider fcm --param " + pushsim.ProjectID + " --prid-file " + secret, exitOK, []string{"ok: "}, nil},
		{"a token on standard input", appleToken + "\n", apple + ".voip --kind call --prid-file -", exitFailed, []string{"suspect: BadDeviceToken, HTTP 400", "environment"}, []string{"iPhones do"}},
		{"a VoIP token for no call", appleToken, apple + ".voip --prid-file -", exitFailed, []string{"forbidden: NoTokenForKind", "calls alone"}, nil},
		{"an app that is not there", "", "--provider fcm --param other --prid abc", exitFailed, []string{"not sent: NoApp", "push.apps"}, nil},
		{"no such kind", "", "alice@example.com --kind ring", exitUsage, nil, []string{`kind is "ring"`}},
		{"a user and a token", "", "alice@example.com --provider fcm --prid x", exitUsage, nil, []string{"either a user"}},
		{"nothing", "", "", exitUsage, nil, []string{"name either a user"}},
		{"two users", "", "alice bob", exitUsage, nil, []string{"one user"}},
		{"no param", "", "--provider fcm --prid secret-token", exitUsage, nil, []string{"pn-param missing"}},
		{"a token twice", "", "--provider fcm --param x --prid x --prid-file -", exitUsage, nil, []string{"one of --prid"}},
		{"for ever", "", "alice@example.com --within 1h", exitUsage, nil, []string{"2m0s"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, stdout, stderr := r.run(tt.stdin, "push test --config CONFIG "+tt.line)
			if code != tt.code {
				t.Errorf("code %d, want %d", code, tt.code)
			}
			contains(t, stdout, tt.stdout)
			contains(t, stderr, tt.stderr)
			for _, token := range []string{"alices-token", "bobs-token", appleToken, "in-a-file", "secret-token"} {
				if strings.Contains(stdout+stderr, token) {
					t.Errorf("a token was printed:\n%s%s", stdout, stderr)
				}
			}
			if t.Failed() {
				t.Logf("printed:\n%s%s", stdout, stderr)
			}
		})
	}
	if p := r.sim.Pushes(); p[len(p)-1].Token == "" {
		t.Error("a push without token")
	}
	code, stdout, _ := r.run("", "push test --config CONFIG alice@example.com --kind message --json")
	var answer admin.PushResults
	if err := json.Unmarshal([]byte(stdout), &answer); err != nil || code != exitOK || len(answer.Results) != 1 || answer.Results[0].Kind != "message" {
		t.Errorf("code %d, %v, printed %s", code, err, stdout)
	}
}

func contains(t *testing.T, text string, want []string) {
	t.Helper()
	for _, s := range want {
		if !strings.Contains(text, s) {
			t.Errorf("there is no %q", s)
		}
	}
}

// Without a server the configuration's credentials are tried.
func TestPushTest_WithoutAServer(t *testing.T) {
	r := newPushRig(t, false)
	code, stdout, stderr := r.run("", "push test --config CONFIG --provider fcm --param "+pushsim.ProjectID+" --prid abc")
	if code != exitOK || !strings.Contains(stdout, "ok: HTTP 200") || !strings.Contains(stderr, "no server is running") {
		t.Errorf("code %d, printed\n%s%s", code, stdout, stderr)
	}
	if n := len(r.sim.Pushes()); n != 1 {
		t.Errorf("%d pushes, want 1", n)
	}
	for _, line := range []string{"push test --config CONFIG alice@example.com", "wake --config CONFIG alice@example.com", "providers --config CONFIG"} {
		if code, _, stderr := r.run("", line); code != exitFailed || !strings.Contains(stderr, "ask the server") {
			t.Errorf("%s: code %d, printed %s", line, code, stderr)
		}
	}
}

func TestWake(t *testing.T) {
	r := newPushRig(t, true)
	asleep := r.register("alice", "alices-token")
	asleep.Sleep()
	code, stdout, stderr := r.run("", "wake --config CONFIG alice@example.com --wait 1s")
	if code != exitFailed || !strings.Contains(stdout, "The push service took the push") || !strings.Contains(stdout, "did not register in time") {
		t.Errorf("code %d, printed\n%s%s", code, stdout, stderr)
	}
	r.sim.SetFault("alices-token", pushsim.Fault{Kind: pushsim.Refuse})
	code, stdout, stderr = r.run("", "wake --config CONFIG alice@example.com --kind call --json")
	var answer admin.WakeResults
	if err := json.Unmarshal([]byte(stdout), &answer); err != nil || code != exitFailed || len(answer.Results) != 1 || answer.Results[0].Class != "credential" {
		t.Errorf("code %d, %v, printed\n%s%s", code, err, stdout, stderr)
	}
	for _, line := range []string{"wake --config CONFIG", "wake --config CONFIG alice --wait 0s", "wake --config CONFIG alice --kind x", "wake alice"} {
		if code, _, stderr := r.run("", line); code != exitUsage {
			t.Errorf("%s: code %d, printed %s", line, code, stderr)
		}
	}
}

func TestWake_PhoneThatWakes(t *testing.T) {
	r := newPushRig(t, true)
	p := r.register("alice", "alices-token")
	p.Sleep()
	woken := make(chan error, 1)
	go func() {
		select {
		case <-r.pushed:
			woken <- p.Wake(t.Context())
		case <-t.Context().Done():
		}
	}()
	code, stdout, stderr := r.run("", "wake --config CONFIG alice@example.com")
	if code != exitOK || !strings.Contains(stdout, "The phone registered after") {
		t.Errorf("code %d, printed\n%s%s", code, stdout, stderr)
	}
	if err := <-woken; err != nil {
		t.Error(err)
	}
}

func TestProviders(t *testing.T) {
	r := newPushRig(t, true)
	r.sim.SetFault("", pushsim.Fault{Kind: pushsim.Refuse})
	for range 6 {
		r.run("", "push test --config CONFIG --provider fcm --param "+pushsim.ProjectID+" --prid abc")
	}
	code, stdout, _ := r.run("", "providers --config CONFIG")
	if code != exitOK {
		t.Errorf("code %d", code)
	}
	contains(t, stdout, []string{"APP", "android", "rests until", "ios", "not used yet", "What to do: "})
	code, stdout, _ = r.run("", "providers --config CONFIG --json")
	var answer admin.Lanes
	if err := json.Unmarshal([]byte(stdout), &answer); err != nil || code != exitOK || len(answer.Lanes) != 2 || answer.Lanes[0].PausedFor != "credential" {
		t.Errorf("code %d, %v, printed %s", code, err, stdout)
	}
}

// TestPrintPush_NothingReachesTheTerminal: each text of an answer may be a stranger's.
func TestPrintPush_NothingReachesTheTerminal(t *testing.T) {
	const evil = "a\x1b[2J\u009b"
	r := admin.PushResult{
		AOR: evil, Binding: evil, UserAgent: evil, Provider: evil, Param: evil, Kind: evil, Class: evil, Reason: evil, PushID: evil, ID: evil, Cause: evil, Said: evil, Do: evil,
	}
	var b strings.Builder
	p := program{stdout: &b}
	printPush(&b, &r)
	p.printWake(&admin.WakeResult{PushResult: r, Then: evil})
	r.Class = push.OK.String()
	p.printWake(&admin.WakeResult{PushResult: r, Then: evil})
	if strings.ContainsAny(b.String(), "\x1b\u009b") {
		t.Errorf("%q", b.String())
	}
}
