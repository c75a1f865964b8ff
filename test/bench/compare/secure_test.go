package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"reveille/configs"
)

// TestOverTLS: what bench.yaml becomes is a configuration with one TLS listener.
func TestOverTLS(t *testing.T) {
	dir := t.TempDir()
	for _, c := range certificates() {
		if _, err := c.issue(dir); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile("../../../configs/bench.yaml")
		if err != nil {
			t.Fatal(err)
		}
		for _, transport := range []configs.ListenerTransport{configs.TLS, configs.WSS} {
			config, err := overTLS(string(text), string(transport))
			if err != nil {
				t.Fatal(err)
			}
			cfg, warnings, err := configs.Parse(filepath.Join(dir, "r.yaml"), []byte(config), configs.Env{Now: time.Now()})
			if err != nil || len(warnings) > 0 {
				t.Fatalf("%s: %v, warnings %v", c.name, err, warnings)
			}
			if len(cfg.Listen) != 1 || cfg.Listen[0].Transport != transport {
				t.Errorf("listens on %+v", cfg.Listen)
			}
		}
	}
	if _, err := overTLS("listen: []", "tls"); err == nil {
		t.Error("a configuration without the listener was taken")
	}
}

func TestSecureTable(t *testing.T) {
	var slow, fast figures
	slow[handshakeCPU], slow[refreshCPU], slow[perBinding] = 400, 80, 40000
	fast[handshakeCPU], fast[refreshCPU], fast[perBinding] = 200, 20, 30000
	got := secureTable([]secureOutcome{
		{name: "Kamailio, P-256", peer: true, series: series{slow}}, {name: "reveille, P-256", series: series{fast}},
	})
	for _, want := range []string{
		"| Kamailio, P-256 | 400 µs |  | 80.0 µs |  | 40,000 |", "| reveille, P-256 | 200 µs | 0.50 | 20.0 µs | 0.25 | 30,000 |",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in:\n%s", want, got)
		}
	}
}
