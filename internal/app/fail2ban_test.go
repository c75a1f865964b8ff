package app

import (
	"bytes"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// lockedBuffer is a log that is read while it is written.
type lockedBuffer struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// The filter in docs/operations.md finds the address of whoever fails, and nobody
// can have another banned.
func TestLog_Fail2banFilter(t *testing.T) {
	docs, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(docs), "failregex = ")
	if !found {
		t.Fatal("docs/operations.md shows no filter")
	}
	line, _, _ := strings.Cut(rest, "\n")
	filter := regexp.MustCompile("(?m)" + strings.Replace(line, "<HOST>", `(?P<host>\S+)`, 1))

	r := newRig(t)
	log := &lockedBuffer{}
	a, err := New(Options{Config: r.config(), Logger: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Stop(t.Context())
	if err := a.Start(); err != nil {
		t.Fatal(err)
	}
	other := &rig{t: t, App: a}
	w := other.dial("tcp")
	const evil = `x\" msg=\"authentication failed\" component=events source=6.6.6.6 method=`
	for _, user := range []string{"alice", evil} {
		w.send(w.request("REGISTER", "sip:example.com", `Authorization: Digest username="`+user+
			`", realm="example.com", nonce="n", uri="sip:example.com", response="0"`))
		w.expect(401)
	}
	other.eventually("both are logged", func() bool { return strings.Count(log.String(), "reason=") == 2 })
	hosts := filter.FindAllStringSubmatch(log.String(), -1)
	if len(hosts) != 2 {
		t.Fatalf("the filter %s finds %d lines, want 2, in:\n%s", line, len(hosts), log)
	}
	for _, h := range hosts {
		if got := h[filter.SubexpIndex("host")]; got != "127.0.0.1" {
			t.Errorf("banned %s, want 127.0.0.1", got)
		}
	}
}
