package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"reveille/configs"
	"reveille/internal/app"
	"reveille/internal/load"
)

// A loaded is a server that was prepared for a load, with the flags that lead to
// it.
type loaded struct {
	*app.App
	flags []string
	dir   string
}

// startLoaded prepares and starts a server. change may change its configuration.
func startLoaded(t *testing.T, change func(*configs.Config), prepare ...string) loaded {
	t.Helper()
	l := loaded{dir: t.TempDir()}
	args := append([]string{"load", "prepare", l.dir, "--target", "127.0.0.1:0", "--http", "127.0.0.1:0", "--push-listen", "127.0.0.1:0"}, prepare...)
	if code, stdout, stderr := runWith(program{}, args...); code != exitOK || stdout != "reveille serve --config "+l.dir+"/load.yaml\n" {
		t.Fatalf("prepare = %d\n%s%s", code, stdout, stderr)
	}
	cfg, warnings, err := configs.Load(filepath.Join(l.dir, "load.yaml"), configs.Env{})
	if err != nil || len(warnings) > 0 {
		t.Fatalf("%v, %v", warnings, err)
	}
	// A phone whose call fails is not waited for.
	cfg.Push.Wait.Invite.Default = 6 * time.Second
	// A busy machine must not have it refuse what a test counts.
	cfg.Overload.Target = 0
	if change != nil {
		change(cfg)
	}
	if l.App, err = app.New(app.Options{Config: cfg}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		// The push services have gone with the load: what was under way to them is
		// tried again until nobody waits for it any more.
		if err := l.Stop(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
	if err := l.Start(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(l.dir, "load.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	push := regexp.MustCompile(`https://(\S+)/v1`).FindSubmatch(text)
	l.flags = []string{
		"--target", l.Addr("udp").String(), "--http", l.HTTPAddr().String(), "--sockets", "4", "--interval", "50ms", "--json", "-",
		"--push-dir", l.dir, "--push-listen", string(push[1]), "--settle", "0s", "--wake-delay", "10ms..50ms", "--hold", "50ms",
	}
	return l
}

// run runs a scenario and returns its summary.
func (l loaded) run(t *testing.T, scenario string, more ...string) (code int, s load.Summary, stderr string) {
	t.Helper()
	args := []string{"load", scenario}
	for i := 0; i < len(l.flags); i += 2 {
		switch l.flags[i] {
		case "--push-dir", "--push-listen", "--wake-delay":
			if scenario == "register" || scenario == "refresh" {
				continue
			}
		case "--settle", "--hold":
			if scenario != "calls" && scenario != "storm" {
				continue
			}
		}
		args = append(args, l.flags[i], l.flags[i+1])
	}
	code, stdout, stderr := runWith(program{}, append(args, more...)...)
	if err := json.Unmarshal([]byte(stdout), &s); err != nil {
		t.Fatalf("%v = %d: %v\n%s\n%s", args, code, err, stdout, stderr)
	}
	return code, s, stderr
}

func TestLoad_RegisterAndRefreshWithDigest(t *testing.T) {
	t.Parallel()
	l := startLoaded(t, nil, "--password", "secret", "--phones", "100")
	for _, algorithm := range []string{"MD5", "sha-256", ""} {
		code, s, stderr := l.run(t, "refresh", "--phones", "100", "--password", "secret", "--algorithm", algorithm, "--duration", "2s", "--refresh-window", "8")
		first, then := s.Phases[0].Registers, s.Phases[1].Registers
		if code != exitOK || first.OK != 100 || first.Challenged != 100 || then.OK < 10 || then.Failed != 0 || then.Challenged != 0 {
			t.Errorf("%q: refresh = %d, %+v, %+v\n%s", algorithm, code, first, then, stderr)
		}
		if s.Server == nil || s.Server.Bindings != 100 || s.Server.Failed != 0 {
			t.Errorf("server = %+v", s.Server)
		}
		if !strings.Contains(stderr, "refresh ") {
			t.Errorf("no progress:\n%s", stderr)
		}
	}
	code, s, stderr := l.run(t, "register", "--phones", "5", "--password", "wrong", "--quiet")
	if code != exitFailed || s.Phases[0].Failures["register: 401"] != 5 || stderr != "reveille: 5 failed\n" {
		t.Errorf("with a wrong password = %d, %+v\n%s", code, s.Phases[0], stderr)
	}
}

func TestLoad_Calls(t *testing.T) {
	t.Parallel()
	// The server cannot know yet that the phones sleep, and must not try them.
	l := startLoaded(t, func(cfg *configs.Config) { cfg.Push.Policy.Default = configs.Always })
	chart := filepath.Join(t.TempDir(), "chart.svg")
	code, s, stderr := l.run(t, "calls", "--phones", "200", "--calls", "100", "--call-rate", "200", "--dead", "0.1", "--asleep", "0.8", "--over", "100ms", "--chart", chart)
	calls := s.Phases[2]
	c := calls.Calls
	if code != exitOK || c.Started != 100 || c.Unreached == 0 || c.Unreached > 30 || c.Answered+c.Unreached != 100 || c.Completed != c.Answered || c.Failed != 0 {
		t.Errorf("calls = %d, %+v, %v\n%s", code, c, calls.Failures, stderr)
	}
	if q := calls.Pushes; q.Call != 100 || q.Needless < 20 || q.Dead != c.Unreached {
		t.Errorf("pushes = %+v, want 100 for calls, 20 to phones that are awake and %d to dead ones", q, c.Unreached)
	}
	for _, m := range []load.Measure{load.InviteToPush, load.PushToRegister, load.RegisterToInvite, load.InviteToAnswer, load.Added, load.Bye, load.Pacing} {
		if got := calls.Latency[m.String()]; got.Count == 0 || got.P50 > got.Max || m != load.Pacing && got.Max == 0 {
			t.Errorf("%s = %+v", m, got)
		}
	}
	if c.MaxHeld == 0 {
		t.Error("nothing was held")
	}
	drawing, err := os.ReadFile(chart)
	if err != nil || !bytes.Contains(drawing, []byte("<svg")) || !bytes.Contains(drawing, []byte("call, added p99")) {
		t.Errorf("chart: %v, %d bytes", err, len(drawing))
	}
}

func TestLoad_Storm(t *testing.T) {
	t.Parallel()
	l := startLoaded(t, nil)
	code, s, stderr := l.run(t, "storm", "--phones", "400", "--storm-phones", "300", "--storm-over", "2s", "--call-rate", "10")
	storm := s.Phases[2]
	// 300 of the storm, and at least 10 that were woken for a call.
	if code != exitOK || storm.Registers.OK < 310 || storm.Calls.Completed != 20 || storm.Registers.Failed+storm.Calls.Failed != 0 {
		t.Errorf("storm = %d, %+v, %+v, %v\n%s", code, storm.Registers, storm.Calls, storm.Failures, stderr)
	}
}

func TestLoad_Due(t *testing.T) {
	t.Parallel()
	// A registration of four minutes, the shortest, is due after a second.
	l := startLoaded(t, func(cfg *configs.Config) {
		cfg.Push.TriggerInterval, cfg.Push.PNSRegInterval = 239*time.Second, 240*time.Second
	})
	code, s, stderr := l.run(t, "due", "--phones", "50", "--expires", "240s", "--duration", "5s", "--trigger", "239s")
	due := s.Phases[1]
	if code != exitOK || due.Pushes.Refresh < 50 || due.Registers.OK < 50 || due.Registers.Failed+due.Registers.Expired != 0 || due.Latency["push_late"].Count < 50 {
		t.Errorf("due = %d, %+v, %+v, %v\n%s", code, due.Registers, due.Pushes, due.Failures, stderr)
	}
}

func TestLoad_TextAndFiles(t *testing.T) {
	t.Parallel()
	l := startLoaded(t, nil)
	file := filepath.Join(t.TempDir(), "s.json")
	args := []string{"load", "register", "--target", l.Addr("udp").String(), "--phones", "20", "--plain", "--quiet", "--json", file}
	code, stdout, stderr := runWith(program{}, args...)
	if code != exitOK || stderr != "" || !strings.Contains(stdout, "20 sent, 20 ok") {
		t.Errorf("register = %d\n%s%s", code, stdout, stderr)
	}
	var s load.Summary
	text, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(text, &s)
	}
	if err != nil || s.Phones != 20 {
		t.Errorf("%v, %s", err, text)
	}
	if code := run(args[:len(args)-2], program{stdout: failingWriter{}, stderr: io.Discard}); code != exitFailed {
		t.Errorf("register into a closed pipe = %d, want %d", code, exitFailed)
	}
}

func TestLoad_SignalEndsItInOrder(t *testing.T) {
	l := startLoaded(t, nil)
	signals := make(chan os.Signal, 2)
	signals <- syscall.SIGINT
	code, stdout, stderr := runWith(program{signals: signals}, "load", "refresh", "--target", l.Addr("udp").String(), "--phones", "20", "--duration", "1h", "--quiet")
	if code != exitOK || !strings.Contains(stdout, ", interrupted\n") || !strings.Contains(stderr, "once more") {
		t.Errorf("refresh = %d\n%s%s", code, stdout, stderr)
	}
}

func TestLoad_SecondSignalEndsItAtOnce(t *testing.T) {
	signals := make(chan os.Signal, 2)
	signals <- syscall.SIGINT
	signals <- syscall.SIGINT
	// Nobody answers there, so that the phones would try for half a minute.
	code, stdout, stderr := runWith(program{signals: signals}, "load", "register", "--target", "127.0.0.1:1", "--phones", "1", "--quiet")
	if code != exitFailed || stdout != "" || !strings.HasSuffix(stderr, "ended by a signal\n") {
		t.Errorf("register = %d\n%s%s", code, stdout, stderr)
	}
}

func TestLoad_RefusesBadFlags(t *testing.T) {
	tests := []struct {
		name string
		args []string
		says string
	}{
		{"another machine", []string{"register", "--target", "192.0.2.1:5060"}, "192.0.2.1:5060: the target is not on this machine; --allow-remote if it is yours to load"},
		{"no port", []string{"register", "--target", "127.0.0.1"}, "--target 127.0.0.1 is no address with a port"},
		{"no host", []string{"register", "--target", ":5060"}, "--target :5060 is no address with a port"},
		{"phones", []string{"register", "--phones", "0"}, "0 phones, want 1 to 9999999"},
		{"chart", []string{"register", "--chart", "x.pdf"}, "--chart x.pdf: the name ends in none of svg, png"},
		{"interval", []string{"register", "--interval", "0s"}, "--interval 0s is too short"},
		{"domain", []string{"register", "--domain", "a b"}, `domain "a b" is no host name`},
		{"span", []string{"calls", "--wake-delay", "soon"}, `"soon" is no duration and no range such as 50ms..2s`},
		{"more calls than phones", []string{"calls", "--phones", "10", "--calls", "11"}, "11 phones are to sleep, of 10"},
		{"storm of more than are awake", []string{"storm", "--phones", "100", "--storm-phones", "100"}, "phones 50 to 150, of 100"},
		{"argument", []string{"register", "now"}, "takes no argument, only flags"},
		{"scenario", []string{"peace"}, `unknown command "peace"`},
		{"prepare nothing", []string{"prepare"}, "takes one folder"},
		{"prepare nobody", []string{"prepare", t.TempDir(), "--password", "x", "--phones", "0"}, "--phones 0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			code, stdout, stderr := runWith(program{}, append([]string{"load"}, tt.args...)...)
			if code != exitUsage || stdout != "" || !strings.Contains(stderr, tt.says) {
				t.Errorf("%v = %d, %q, %q, want %d and %q", tt.args, code, stdout, stderr, exitUsage, tt.says)
			}
		})
	}
}

func TestLoad_NeedsWhatPrepareWrites(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "none")
	code, _, stderr := runWith(program{}, "load", "calls", "--push-dir", dir)
	if code != exitFailed || !strings.Contains(stderr, "`reveille load prepare "+dir+"` writes them") {
		t.Errorf("calls = %d, %s", code, stderr)
	}
}

func TestLoad_PrepareKeepsCredentials(t *testing.T) {
	dir := t.TempDir()
	var kept []byte
	for range 2 {
		if code, _, stderr := runWith(program{}, "load", "prepare", dir, "--push-listen", "127.0.0.1:0"); code != exitOK {
			t.Fatalf("prepare = %d, %s", code, stderr)
		}
		text, err := os.ReadFile(filepath.Join(dir, loadCredentialsFile))
		if err != nil || kept != nil && !bytes.Equal(kept, text) {
			t.Errorf("%v, or the credentials changed", err)
		}
		kept = text
	}
	if code, stdout, stderr := runWith(program{check: app.Check, warnings: app.Warnings}, "check", filepath.Join(dir, loadConfigFile)); code != exitOK || stderr != "" {
		t.Errorf("check = %d, %s%s", code, stdout, stderr)
	}
}
