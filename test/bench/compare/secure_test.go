package main

import (
	"bufio"
	"errors"
	"io"
	"net"
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
	var slow, fast, mute figures
	mute[handshakeCPU], mute[refreshCPU], mute[perBinding] = 300, unanswered(), unanswered()
	slow[handshakeCPU], slow[refreshCPU], slow[perBinding] = 400, 80, 40000
	fast[handshakeCPU], fast[refreshCPU], fast[perBinding] = 200, 20, 30000
	got := secureTable([]secureOutcome{
		{name: "Kamailio, P-256", peer: true, series: series{slow}},
		{name: "reveille, P-256", series: series{fast}},
		{name: "Kamailio, RSA", cert: certificate{name: "RSA"}, peer: true, series: series{mute}},
		{name: "reveille, RSA", cert: certificate{name: "RSA"}, series: series{fast}},
		{name: "Kamailio, twice", cert: certificate{name: "twice"}, peer: true, series: series{mute, slow}},
		{name: "reveille, twice", cert: certificate{name: "twice"}, series: series{fast, fast}},
	})
	for _, want := range []string{
		"| Kamailio, P-256 | 400 µs |  | 80.0 µs |  | 40,000 |", "| reveille, P-256 | 200 µs | 0.50 | 20.0 µs | 0.25 | 30,000 |",
		"| Kamailio, RSA | 300 µs |  | stopped answering |  | stopped answering |", "| reveille, RSA | 200 µs | 0.67 | 20.0 µs | – | 30,000 |",
		"| Kamailio, twice | 350 µs |  | 80.0 µs; stopped answering in 1 of 2 rounds |", "| reveille, twice | 200 µs | **0.58** (0.50 to 0.67) | 20.0 µs | 0.25 |",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in:\n%s", want, got)
		}
	}
}

// A server that accepts connections and says nothing is told from one that
// answers wrongly.
func TestSilent(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	phone := &securePhone{conn: c, in: bufio.NewReader(c)}
	if err := c.SetDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	_, late := phone.in.ReadString('\n')
	for name, err := range map[string]error{"no answer in time": late, "hung up": io.EOF, "among others": errors.Join(errors.New("x"), late)} {
		if !silent(err) {
			t.Errorf("%s: %v does not count", name, err)
		}
	}
	for _, err := range []error{nil, errors.New("answer to a REGISTER: 500")} {
		if silent(err) {
			t.Errorf("%v counts", err)
		}
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}
