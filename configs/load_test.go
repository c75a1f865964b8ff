package configs

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// now is the present of all tests.
func now() time.Time { return time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC) }

// env is the environment of all tests.
func env() Env {
	vars := map[string]string{"SECRET": "s3cret", "EMPTY": "", "DIR": "files"}
	return Env{Now: now(), Lookup: func(name string) (string, bool) { v, ok := vars[name]; return v, ok }}
}

// diff compares configurations without their methods, which would redact.
func diff(want, got any) string {
	return cmp.Diff(want, got, cmp.Exporter(func(reflect.Type) bool { return true }))
}

func TestReference_LoadsAndEqualsDefault(t *testing.T) {
	cfg, warnings, err := Parse("reveille.yaml", Reference(), env())
	if err != nil || len(warnings) > 0 {
		t.Fatalf("Parse(reference) = %v, warnings %v", err, warnings)
	}
	if d := diff(Default(), cfg); d != "" {
		t.Errorf("the reference differs from Default (-want +got):\n%s", d)
	}
}

func TestParse_EmptyFileIsDefault(t *testing.T) {
	for _, text := range []string{"", "\n", "# nothing\n", "push:\nlisten:\n", "---\n"} {
		cfg, warnings, err := Parse("r.yaml", []byte(text), Env{})
		if err != nil || len(warnings) > 0 {
			t.Errorf("Parse(%q) = %v, warnings %v", text, err, warnings)
			continue
		}
		if d := diff(Default(), cfg); d != "" {
			t.Errorf("Parse(%q) differs from Default:\n%s", text, d)
		}
	}
}

func TestParse_Values(t *testing.T) {
	text := `
listen:
  - {name: a, transport: udp, addr: "127.0.0.1:0", sockets: 4}
transport:
  max_conns: 30_000
  idle_timeout: 12h30m
  rules:
    - {prefix: "10.0.0.0/8", listener: a}
domains: [Example.COM]
registrar:
  default_q: 0.5
  overflow_status: 503
  match: "param:rinstance"
auth:
  mode: {registrar: off}
  users:
    - {name: alice, password: "${SECRET}"}
push:
  policy: {default: always, providers: {acme: asleep}}
  apps:
    - {name: hook, provider: acme, webhook: {url: "https://h.example/x", secret: plain}}
`
	got, warnings, err := Parse("r.yaml", []byte(text), env())
	if err != nil || len(warnings) > 0 {
		t.Fatalf("Parse = %v, warnings %v", err, warnings)
	}
	want := Default()
	want.Listen = []Listen{{Name: "a", Transport: UDP, Addr: "127.0.0.1:0", Sockets: 4, Auth: AsMode}}
	want.Transport.MaxConns = 30000
	want.Transport.IdleTimeout = 12*time.Hour + 30*time.Minute
	want.Transport.Rules = got.Transport.Rules
	if len(got.Transport.Rules) != 1 || got.Transport.Rules[0].Prefix.String() != "10.0.0.0/8" {
		t.Errorf("rules = %v", got.Transport.Rules)
	}
	want.Domains = []string{"example.com"}
	want.Registrar.DefaultQ = 0.5
	want.Registrar.OverflowStatus = 503
	want.Registrar.Match = "param:rinstance"
	want.Auth.Users = []User{{Name: "alice", Password: "s3cret"}}
	want.Push.Policy = WakePolicies{Default: Always, Providers: map[string]WakePolicy{"acme": Asleep}}
	want.Push.Apps = []App{{
		Name: "hook", Provider: "acme", Param: "*", Queue: 1000, InFlight: 100,
		Webhook: &Webhook{URL: "https://h.example/x", Secret: "plain"},
	}}
	if d := diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if got.Realm() != "example.com" {
		t.Errorf("Realm() = %q, want the first domain", got.Realm())
	}
	if p := got.Push.Policy; p.For("acme") != Asleep || p.For("apns") != Always {
		t.Errorf("policy: acme %s, apns %s", p.For("acme"), p.For("apns"))
	}
}

func TestLoad_FileOutcomes(t *testing.T) {
	dir := t.TempDir()
	good := filepath.Join(dir, "good.yaml")
	if err := os.WriteFile(good, []byte("domains: [example.com]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if cfg, _, err := Load(good, env()); err != nil || cfg.Domains[0] != "example.com" {
		t.Errorf("Load(good) = %v, %v", cfg, err)
	}
	big := filepath.Join(dir, "big.yaml")
	if err := os.WriteFile(big, []byte("#"+strings.Repeat("x", maxFile)), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		filepath.Join(dir, "none.yaml"): "none.yaml: cannot be read: no such file or directory",
		dir:                             ": cannot be read: is a directory",
		big:                             "big.yaml: cannot be read: larger than 4194304 bytes",
	} {
		cfg, _, err := Load(name, env())
		if cfg != nil || !errors.Is(err, ErrInvalid) || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("Load(%s) = %v, %v, want an error that ends in %q", name, cfg, err, want)
		}
	}
}

func TestParse_TellsAllProblemsInFileOrder(t *testing.T) {
	text := "domain: [x]\nlisten: 5\nlog: {level: loud}\npush: {silent_wait: 5}\n"
	_, _, err := Parse("r.yaml", []byte(text), env())
	var ps Problems
	if !errors.As(err, &ps) {
		t.Fatalf("Parse = %v, want Problems", err)
	}
	var lines []int
	for _, p := range ps {
		lines = append(lines, p.Line)
	}
	if d := cmp.Diff([]int{1, 2, 3, 4}, lines); d != "" {
		t.Errorf("lines of %v:\n%s", err, d)
	}
}
