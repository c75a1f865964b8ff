package configs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// TestSecret_NeverShown sends a secret down every way by which values get out.
func TestSecret_NeverShown(t *testing.T) {
	const hidden = "hunter2"
	cfg := Default()
	cfg.Auth.Users = []User{{Name: "alice", Password: hidden, HA1MD5: hidden}}
	cfg.Push.Apps = []App{{Name: "hook", Provider: "acme", Webhook: &Webhook{Secret: hidden}}}
	users := cfg.Auth.Users
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("users", "users", users, "secret", users[0].Password)
	asJSON, err := json.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	asYAML, err := cfg.YAML()
	if err != nil {
		t.Fatal(err)
	}
	for way, text := range map[string]string{
		"%v":   fmt.Sprintf("%v", users),
		"%+v":  fmt.Sprintf("%+v", users),
		"%#v":  fmt.Sprintf("%#v", users),
		"%s":   fmt.Sprintf("%s", users[0].Password), //nolint:staticcheck // What the verb shows is the question.
		"%q":   fmt.Sprintf("%q", users[0].Password),
		"slog": log.String(),
		"JSON": string(asJSON),
		"YAML": string(asYAML),
	} {
		if strings.Contains(text, hidden) {
			t.Errorf("%s shows the secret: %s", way, text)
		}
		if !strings.Contains(text, "redacted") {
			t.Errorf("%s does not say that something is hidden: %s", way, text)
		}
	}
	if users[0].Password.Reveal() != hidden {
		t.Error("Reveal does not return the secret")
	}
	if s := Secret(""); s.String() != "" {
		t.Errorf("an empty secret prints %q", s.String())
	}
}

// TestYAML_LoadsAgain prints a configuration and reads it: nothing may be lost.
func TestYAML_LoadsAgain(t *testing.T) {
	dir := placeFiles(t)
	text := `
domains: [example.com]
transport: {rules: [{prefix: "2001:db8::/32", listener: udp}]}
registrar: {default_q: 0.25, expires: {jitter: {percent: 10}}}
push:
  policy: {providers: {fcm: always, apns: asleep}}
  apps:
    - {name: ios, param: "A*", apns: {cert_file: files/good.pem}}
    - {name: android, fcm: {service_account_file: files/account.json}}
proxy: {routes: [{name: "1", prefix: "+", to: "sip:192.0.2.1"}]}
`
	for _, in := range []string{"", text} {
		cfg, _, err := Parse(dir+"/r.yaml", []byte(in), env())
		if err != nil {
			t.Fatal(err)
		}
		out, err := cfg.YAML()
		if err != nil {
			t.Fatal(err)
		}
		// Optional keys that are empty are written out, and must not count as
		// given: the checks look for keys, so drop the empty ones.
		lines := strings.Split(string(out), "\n")
		kept := lines[:0]
		for _, line := range lines {
			if !strings.HasSuffix(line, `: ""`) {
				kept = append(kept, line)
			}
		}
		again, _, err := Parse(dir+"/r.yaml", []byte(strings.Join(kept, "\n")), env())
		if err != nil {
			t.Fatalf("the printed form does not load: %v\n%s", err, out)
		}
		if d := diff(cfg, again); d != "" {
			t.Errorf("printed and read again (-before +after):\n%s\n%s", d, out)
		}
	}
}

func TestSchema_DescribesTheReference(t *testing.T) {
	text, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	var schema map[string]any
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	list, err := entries()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		node := schema
		for key := range strings.SplitSeq(e.path, ".") {
			name, isList := strings.CutSuffix(key, "[]")
			if node["additionalProperties"] != false {
				t.Fatalf("%s: the group above it takes unknown keys", e.path)
			}
			next, ok := node["properties"].(map[string]any)[name].(map[string]any)
			if !ok {
				t.Fatalf("the schema does not have %s", e.path)
			}
			if node = next; isList {
				node = node["items"].(map[string]any)
			}
		}
		if node["description"] != e.comment {
			t.Errorf("%s: description %q, want %q", e.path, node["description"], e.comment)
		}
		if bounds := e.field.Tag.Get("range"); bounds != "" && node["type"] == "integer" {
			if got := fmt.Sprintf("%.0f..%.0f", node["minimum"], node["maximum"]); got != bounds {
				t.Errorf("%s: bounds %s, want %s", e.path, got, bounds)
			}
		}
	}
}

func TestYAML_ShowsNoPasswordsInURLs(t *testing.T) {
	c := Default()
	c.Hooks.Route.URL = "https://me:S3cret@hooks.example.com/route"
	c.Domains = []string{"a://b:c@["} // No URL stays as it is.
	text, err := c.YAML()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "S3cret") || !strings.Contains(string(text), "https://me:xxxxx@hooks.example.com/route") || !strings.Contains(string(text), "a://b:c@[") {
		t.Errorf("shown:\n%s", text)
	}
}
