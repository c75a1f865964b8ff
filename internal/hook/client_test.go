package hook

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func newClient(t *testing.T, o Options) *Client {
	t.Helper()
	if o.Name == "" {
		o.Name = "register"
	}
	if o.Timeout == 0 {
		o.Timeout = 20 * time.Second
	}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// permission waits for the answer to q.
func permission(c *Client, q Registration) (Permission, error) {
	var p Permission
	var err error
	done := make(chan struct{})
	c.AskRegister(q, func(got Permission, failed error) {
		p, err = got, failed
		close(done)
	})
	<-done
	return p, err
}

func TestRegister_Question(t *testing.T) {
	var body []byte
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ = io.ReadAll(r.Body)
		if r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" || r.Header.Get("Authorization") != "Bearer token" {
			t.Errorf("%s, %v", r.Method, r.Header)
		}
		io.WriteString(w, `{"allow": true, "max_contacts": 2, "max_expires": 600, "attributes": {"plan": "gold"}, "else": [1]}`)
	}))
	defer server.Close()
	c := newClient(t, Options{URL: server.URL, Bearer: "token"})
	hour := uint32(3600)
	got, err := permission(c, Registration{
		AOR: "sip:alice@example.com", User: "alice", Source: "192.0.2.1:5060", Transport: "UDP", UserAgent: "phone/1",
		Contacts:   []Contact{{URI: "sip:alice@192.0.2.1", Expires: &hour, Instance: "urn:uuid:1", PushProvider: "apns"}, {URI: "sip:b@192.0.2.1"}},
		Attributes: json.RawMessage(`{"x-model":"7"}`),
	})
	yes := true
	if diff := cmp.Diff(Permission{Allow: &yes, MaxContacts: 2, MaxExpires: 600, Attributes: &Attributes{"plan": "gold"}}, got); err != nil || diff != "" {
		t.Errorf("AskRegister = %v\n%s", err, diff)
	}
	const want = `{"event":"register","aor":"sip:alice@example.com","user":"alice","source":"192.0.2.1:5060","transport":"UDP","user_agent":"phone/1",` +
		`"contacts":[{"uri":"sip:alice@192.0.2.1","expires":3600,"instance":"urn:uuid:1","push_provider":"apns"},{"uri":"sip:b@192.0.2.1"}],"attributes":{"x-model":"7"}}`
	if string(body) != want {
		t.Errorf("posted %s\nwant %s", body, want)
	}
}

// TestRegister_Answers: whatever is no answer is an error, of which nothing that
// came is a part.
func TestRegister_Answers(t *testing.T) {
	tests := []struct {
		name, body string
		status     int
		says       string // the error; empty: none
		refusal    int    // 0: allowed
		result     string
	}{
		{"allowed", `{"allow": true, "status": 1}`, 200, "", 0, "allowed"},
		{"refused", `{"allow": false}`, 200, "", 403, "refused"},
		{"refused so", `{"allow": false, "status": 606, "reason": "Not Here"}`, 200, "", 606, "refused"},
		{"nothing said", `{"hush": 1}`, 200, "without allow", 0, "invalid"},
		{"a success", `{"allow": false, "status": 200}`, 200, "no refusal", 0, "invalid"},
		{"a challenge", `{"allow": false, "status": 401}`, 200, "no refusal", 0, "invalid"},
		{"a redirection", `{"allow": false, "status": 302}`, 200, "no refusal", 0, "invalid"},
		{"two lines", `{"allow": false, "reason": "hush\r\nX: y"}`, 200, "control characters", 0, "invalid"},
		{"a long reason", `{"allow": false, "reason": "` + strings.Repeat("hush", 100) + `"}`, 200, "longer than 128", 0, "invalid"},
		{"negative", `{"allow": true, "max_contacts": -1}`, 200, "between 0 and 100", 0, "invalid"},
		{"long attributes", `{"allow": true, "attributes": {"a": "` + strings.Repeat("hush", 257) + `"}}`, 200, "1024 bytes", 0, "invalid"},
		{"attributes of another type", `{"allow": true, "attributes": {"hush": 1}}`, 200, "not the JSON object", 0, "invalid"},
		{"negative time", `{"allow": true, "max_expires": -1}`, 200, "not the JSON object", 0, "invalid"},
		{"cut", `{"allow": true, "hush"`, 200, "not the JSON object", 0, "invalid"},
		{"empty", ``, 200, "not the JSON object", 0, "invalid"},
		{"list", `["hush"]`, 200, "not the JSON object", 0, "invalid"},
		{"other type", `{"allow": "hush"}`, 200, "not the JSON object", 0, "invalid"},
		{"large", `{"allow": true, "x": "` + strings.Repeat("hush", 20_000) + `"}`, 200, "more than 65536 bytes", 0, "invalid"},
		{"forbidden", `{"allow": true}`, 403, "the answer is 403", 0, "error"},
		{"moved", `{"allow": true}`, 307, "the answer is 307", 0, "error"},
		{"created", `{"allow": true}`, 201, "the answer is 201", 0, "error"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var asked atomic.Int32
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				asked.Add(1)
				w.Header().Set("Location", "/hush")
				w.WriteHeader(tt.status)
				io.WriteString(w, tt.body)
			}))
			defer server.Close()
			registry, log := prometheus.NewPedanticRegistry(), new(bytes.Buffer)
			c := newClient(t, Options{URL: server.URL + "/hush", Registerer: registry, Logger: slog.New(slog.NewTextHandler(log, nil))})
			p, err := permission(c, Registration{})
			switch {
			case tt.says != "":
				if err == nil || !strings.Contains(err.Error(), tt.says) || p != (Permission{}) {
					t.Errorf("AskRegister = %+v, %v, want an error that says %q", p, err, tt.says)
				}
				if said := log.String(); !strings.Contains(said, tt.says) || strings.Contains(said, "hush") || strings.Contains(err.Error(), "hush") {
					t.Errorf("logged %s", said)
				}
			case err != nil || *p.Allow != (tt.refusal == 0) || !*p.Allow && p.Status != tt.refusal:
				t.Errorf("AskRegister = %+v, %v", p, err)
			}
			if n := testutil.ToFloat64(c.metrics.requests.WithLabelValues(tt.result)); n != 1 || asked.Load() != 1 {
				t.Errorf("%v %s of %d requests", n, tt.result, asked.Load())
			}
			if problems, err := testutil.GatherAndLint(registry); err != nil || len(problems) > 0 {
				t.Errorf("metrics: %v, %v", problems, err)
			}
		})
	}
}

// silent is a program that never answers.
func silent(t *testing.T) *httptest.Server {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(release) })
	return server
}

func TestClient_Timeout(t *testing.T) {
	c := newClient(t, Options{URL: silent(t).URL, Timeout: 20 * time.Millisecond})
	if _, err := permission(c, Registration{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("AskRegister = %v", err)
	}
	if n := testutil.ToFloat64(c.metrics.requests.WithLabelValues("timeout")); n != 1 {
		t.Errorf("%v time-outs", n)
	}
}

// TestClient_MaxPending asks a thousand questions at once: those beyond the bound
// are answered on the spot, and the log has one line.
func TestClient_MaxPending(t *testing.T) {
	const most, all = 8, 1000
	log := new(bytes.Buffer)
	c := newClient(t, Options{URL: silent(t).URL, MaxPending: most, Logger: slog.New(slog.NewTextHandler(log, nil))})
	var busy, stopped atomic.Int32
	for range all {
		c.AskRegister(Registration{}, func(_ Permission, err error) {
			switch {
			case errors.Is(err, ErrBusy):
				busy.Add(1)
			case errors.Is(err, context.Canceled):
				stopped.Add(1)
			default:
				t.Errorf("AskRegister = %v", err)
			}
		})
	}
	if n := busy.Load(); n != all-most || c.Pending() != most {
		t.Errorf("%d questions were refused, %d are open", n, c.Pending())
	}
	if n := strings.Count(log.String(), "\n"); n != 1 {
		t.Errorf("%d lines logged", n)
	}
	// Nobody who asked is forgotten.
	if err := c.Close(); err != nil || stopped.Load() != most || c.Pending() != 0 {
		t.Errorf("Close = %v, %d questions ended, %d are open", err, stopped.Load(), c.Pending())
	}
	if _, err := permission(c, Registration{}); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// TestClient_KeepAlive: one connection is enough for questions in a row.
func TestClient_KeepAlive(t *testing.T) {
	peers := map[string]bool{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		peers[r.RemoteAddr] = true
		json.NewEncoder(w).Encode(map[string]bool{"allow": true})
	}))
	defer server.Close()
	c := newClient(t, Options{URL: server.URL})
	for range 5 {
		if _, err := permission(c, Registration{}); err != nil {
			t.Fatal(err)
		}
	}
	if len(peers) != 1 {
		t.Errorf("%d connections", len(peers))
	}
}

// TestClient_TLS: the token goes only to whom we believe.
func TestClient_TLS(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, `{"allow": true}`)
	}))
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.StartTLS()
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	if _, err := permission(newClient(t, Options{URL: server.URL, RootCAs: roots}), Registration{}); err != nil {
		t.Errorf("AskRegister = %v", err)
	}
	if _, err := permission(newClient(t, Options{URL: server.URL}), Registration{}); err == nil {
		t.Error("a certificate of nobody was believed")
	}
}

func TestNew_Refuses(t *testing.T) {
	for _, o := range []Options{
		{Name: "x"}, {Name: "x", URL: "ftp://hush@example.com"}, {Name: "x", URL: "http://%zz"}, {URL: "http://example.com"},
	} {
		if _, err := New(o); err == nil || strings.Contains(err.Error(), "hush") {
			t.Errorf("New(%+v) = %v", o, err)
		}
	}
}
