package app

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"reveille/internal/phone"
)

// TestSpans_OfACallToASleepingPhone: the collector is told when the server ends at the
// latest, and of no push token.
func TestSpans_OfACallToASleepingPhone(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex // guards got
	var got strings.Builder
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		got.Write(body)
	}))
	t.Cleanup(collector.Close)
	r := newRig(t, "otlp: {endpoint: "+collector.URL+"/v1/traces}")
	const token = "token-of-alice"
	alice, bob := r.sleeper("alice", "tcp", token), r.phone("bob", "udp", "")
	r.register(bob)
	if err := ring(r, bob); err != nil {
		t.Fatal(err)
	}
	r.eventually("alice's phone knows that it is registered", func() bool { return alice.Count(phone.Registered) == 2 })
	if err := r.Stop(r.within()); err != nil {
		t.Fatal(err)
	}
	if n := r.metric("reveille_otlp_spans_total"); n < 3 {
		t.Errorf("%v spans", n)
	}
	mu.Lock()
	defer mu.Unlock()
	for _, want := range []string{"INVITE", "wake", "push fcm", "sip:alice@example.com"} {
		if !strings.Contains(got.String(), want) {
			t.Errorf("%q is missing", want)
		}
	}
	if strings.Contains(got.String(), token) {
		t.Error("the push token is told")
	}
}
