package admin

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"reveille/flow"
	"reveille/internal/sipmsg"
	"reveille/internal/trace"
	"reveille/internal/transport"
)

// A traceRig is a trace whose messages come from a test.
type traceRig struct {
	watchers *trace.Watchers
	see      atomic.Pointer[func(transport.Passage)]
}

func newTraceRig(t *testing.T) *traceRig {
	t.Helper()
	r := &traceRig{}
	hub := trace.New(trace.Options{Tap: func(see func(transport.Passage)) {
		if see == nil {
			r.see.Store(nil)
			return
		}
		r.see.Store(&see)
	}})
	r.watchers = trace.NewWatchers(hub, func(u sipmsg.URI) string { return u.User }, func() *trace.Secrets { return nil })
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		hub.Run(ctx)
		close(done)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return r
}

func (r *traceRig) trace() *Trace {
	return &Trace{Watch: func(aor string, bodies bool) (*trace.Watcher, error) {
		if aor == "nobody" {
			return nil, errors.New("no address")
		}
		return r.watchers.Watch(trace.Query{AOR: aor, Bodies: bodies})
	}}
}

// arrive has a message arrive.
func (r *traceRig) arrive(raw string) {
	(*r.see.Load())(transport.Passage{
		Flow: flow.Flow{Listener: "udp", Transport: flow.UDP, Remote: netip.MustParseAddrPort("192.0.2.9:5060")}, Local: netip.MustParseAddrPort("192.0.2.1:5060"),
		At: at(), Message: []byte(raw),
	})
}

func TestTrace(t *testing.T) {
	socket := socketPath(t)
	rig := newTraceRig(t)
	s := control(t, Options{Socket: socket, Calls: Calls{Trace: rig.trace()}})
	const url = "http://localhost/v1/trace?aor="
	first := open(t, over(socket), url+"alice", nil)
	if got := first.next(); got != ": \n" || first.resp.StatusCode != 200 || first.resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("begins with %d, %q", first.resp.StatusCode, got)
	}
	rig.arrive("MESSAGE sip:alice@example.com SIP/2.0\r\nCall-ID: 1\r\nm: <sip:a@b;pn-prid=planted>\r\n\r\nhello")
	want := "event: message\ndata: {\"at\":\"2026-01-02T03:04:05Z\",\"direction\":\"in\",\"transport\":\"UDP\",\"listener\":\"udp\",\"local\":\"192.0.2.1:5060\"," +
		"\"remote\":\"192.0.2.9:5060\",\"call_id\":\"1\",\"first\":\"MESSAGE sip:alice@example.com SIP/2.0\"," +
		"\"message\":\"MESSAGE sip:alice@example.com SIP/2.0\\r\\nCall-ID: 1\\r\\nm: \\u003csip:a@b;pn-prid=***\\u003e\\r\\n\\r\\n(5 bytes of a body)\"}\n"
	if got := first.next(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	second := open(t, over(socket), url+"alice&bodies=true", nil)
	second.next()
	rig.arrive("MESSAGE sip:alice@example.com SIP/2.0\r\nCall-ID: 2\r\n\r\nhello")
	if got := second.next(); !strings.Contains(got, "hello") {
		t.Errorf("without the body that was asked for: %q", got)
	}
	for range trace.MaxWatchers { // Who asks for the header alone does not look.
		req, err := http.NewRequestWithContext(t.Context(), http.MethodHead, url+"bob", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := over(socket).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	for range trace.MaxWatchers - 2 {
		open(t, over(socket), url+"bob", nil).next()
	}
	if r := open(t, over(socket), url+"bob", nil); r.resp.StatusCode != http.StatusServiceUnavailable || r.resp.Header.Get("Retry-After") == "" {
		t.Errorf("one too many: %d", r.resp.StatusCode)
	}
	if r := open(t, over(socket), url+"nobody", nil); r.resp.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("no address: %d", r.resp.StatusCode)
	}
	// A server that stops does not wait for its readers, and nobody looks any more.
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if rig.see.Load() != nil {
		t.Error("somebody still looks")
	}
}
