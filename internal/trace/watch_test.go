package trace

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"reveille/flow"
	"reveille/internal/sipmsg"
	"reveille/internal/transport"
)

// A rig is a Hub whose messages come from a test.
type rig struct {
	*Hub
	*Watchers
	see func(transport.Passage)
}

// inBubble runs test with a rig in a bubble.
func inBubble(t *testing.T, test func(t *testing.T, r *rig)) {
	synctest.Test(t, func(t *testing.T) {
		r := &rig{}
		r.Hub = New(Options{Tap: func(see func(transport.Passage)) { r.see = see }, Registerer: prometheus.NewRegistry()})
		r.Watchers = NewWatchers(r.Hub, func(u sipmsg.URI) string {
			key, _ := sipmsg.CanonicalAOR(u)
			return key
		}, func() *Secrets { return nil })
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go r.Run(ctx)
		test(t, r)
	})
}

func (r *rig) watch(t *testing.T, aor string) *Watcher {
	t.Helper()
	w, err := r.Watch(Query{AOR: aor})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w
}

func passage(sent bool, remote, raw string) transport.Passage {
	return transport.Passage{
		Flow: flow.Flow{Listener: "udp", Transport: flow.UDP, Remote: netip.MustParseAddrPort(remote)}, Local: netip.MustParseAddrPort("192.0.2.1:5060"),
		Sent: sent, At: time.Now(), Message: []byte(raw),
	}
}

func (r *rig) in(raw string)  { r.see(passage(false, "192.0.2.9:5060", raw)) }
func (r *rig) out(raw string) { r.see(passage(true, "192.0.2.9:5060", raw)) }

// next returns what is shown now: direction and first line.
func next(t *testing.T, w *Watcher) (lines []string) {
	t.Helper()
	synctest.Wait()
	ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	list, lost, err := w.Next(ctx)
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	if lost > 0 {
		lines = append(lines, fmt.Sprint("lost ", lost))
	}
	for _, s := range list {
		line := s.Direction + " " + s.First
		if s.Again {
			line += " again"
		}
		if s.Error != "" {
			line += " !" + s.Error
		}
		lines = append(lines, line)
	}
	return lines
}

func request(method, uri, callID string, lines ...string) string {
	return method + " " + uri + " SIP/2.0\r\nCall-ID: " + callID + "\r\n" + strings.Join(append(lines, "", ""), "\r\n")
}

func TestWatcher_FindsTheUserWhereverMessagesNameOne(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		w := r.watch(t, "sip:alice@example.com")
		r.in(request("A", "sip:alice@example.com", "1"))
		r.in(request("B", "sips:%61lice@EXAMPLE.com:5061;x=y", "2"))
		r.in(request("C", "sip:x", "3", "f: Alice <sip:alice:pw@example.com>;tag=1"))
		r.in(request("D", "sip:x", "4", "To: sip:alice@example.com;tag=2"))
		r.in(request("E", "sip:x", "5", "m: <sip:bob@example.com>,\r\n <sip:alice@example.com;gr=urn:x>"))
		r.in(request("F", "sip:x", "6", "P-Asserted-Identity: <tel:+1>", "P-Asserted-Identity: \"A\" <sip:alice@example.com>"))
		r.in("\r\n\r\n" + request("G", "sip:alice@example.com", "7"))
		r.in(request("NO", "sip:bob@example.com", "8", "From: <sip:alice@example.org>", "Subject: sip:alice@example.com", "To: <sip:Alice@example.com>"))
		r.in("GET /alice@example.com HTTP/1.1\r\n\r\n")
		want := []string{
			"in A sip:alice@example.com SIP/2.0", "in B sips:%61lice@EXAMPLE.com:5061;x=y SIP/2.0", "in C sip:x SIP/2.0", "in D sip:x SIP/2.0",
			"in E sip:x SIP/2.0", "in F sip:x SIP/2.0", "in G sip:alice@example.com SIP/2.0",
		}
		if diff := cmp.Diff(want, next(t, w)); diff != "" {
			t.Error(diff)
		}
	})
}

func TestWatcher_FollowsTheCall(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		w, other := r.watch(t, "sip:alice@example.com"), r.watch(t, "sip:carol@example.com")
		r.in(request("INVITE", "sip:alice@example.com", "c1", "From: <sip:bob@example.org>"))
		r.out("SIP/2.0 100 Trying\r\ni: c1\r\n\r\n")
		r.out(request("INVITE", "sip:x@192.0.2.50", "c1"))
		r.out(request("INVITE", "sip:x@192.0.2.50", "c1"))
		r.in(request("INVITE", "sip:x@192.0.2.50", "c1"))
		failed := passage(true, "192.0.2.50:5060", request("INVITE", "sip:x@192.0.2.50", "c1"))
		failed.Err = transport.ErrFlowDead
		r.see(failed)
		r.in("SIP/2.0 200 OK\r\nCall-ID: c1\r\n\r\n")
		r.in(request("ACK", "sip:x@192.0.2.50", "c2"))
		want := []string{
			"in INVITE sip:alice@example.com SIP/2.0", "out SIP/2.0 100 Trying", "out INVITE sip:x@192.0.2.50 SIP/2.0",
			"out INVITE sip:x@192.0.2.50 SIP/2.0 again", "in INVITE sip:x@192.0.2.50 SIP/2.0",
			"out INVITE sip:x@192.0.2.50 SIP/2.0 !" + transport.ErrFlowDead.Error(), "in SIP/2.0 200 OK",
		}
		if diff := cmp.Diff(want, next(t, w)); diff != "" {
			t.Error(diff)
		}
		if got := next(t, other); got != nil {
			t.Errorf("another user is shown %q", got)
		}
	})
}

func TestWatcher_IsShownNoSecrets(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		w := r.watch(t, "sip:alice@example.com")
		r.in(request("REGISTER", "sip:example.com", "r1", "To: <sip:alice@example.com>", "Contact: <sip:a@b;pn-prid=S>") + "body")
		synctest.Wait()
		list, _, err := w.Next(t.Context())
		if err != nil || len(list) != 1 {
			t.Fatalf("Next = %v, %v", list, err)
		}
		want := Shown{
			At: time.Now(), Direction: In, Transport: "UDP", Listener: "udp", Local: "192.0.2.1:5060", Remote: "192.0.2.9:5060", CallID: "r1",
			First:   "REGISTER sip:example.com SIP/2.0",
			Message: request("REGISTER", "sip:example.com", "r1", "To: <sip:alice@example.com>", "Contact: <sip:a@b;pn-prid=***>") + "(4 bytes of a body)",
		}
		if diff := cmp.Diff(want, list[0]); diff != "" {
			t.Error(diff)
		}
	})
}

func TestWatcher_IsShownNoSecretAsACallID(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		w := r.watch(t, "sip:alice@example.com")
		r.in(request("OPTIONS", "sip:alice@example.com", "1;pn-prid=S"))
		synctest.Wait()
		list, _, err := w.Next(t.Context())
		if err != nil || len(list) != 1 || list[0].CallID != "" || strings.Contains(list[0].Message, "=S") {
			t.Fatalf("Next = %+v, %v", list, err)
		}
	})
}

func TestWatcher_LosesWhatItDoesNotTakeAndIsTold(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		w := r.watch(t, "sip:alice@example.com")
		for i := range maxShown + 3 {
			r.in(request("OPTIONS", "sip:alice@example.com", fmt.Sprint(i)))
			if i%1000 == 0 {
				synctest.Wait()
			}
		}
		if got := next(t, w); len(got) != maxShown+1 || got[0] != "lost 3" {
			t.Errorf("%d lines, the first %q", len(got), got[0])
		}
	})
}

// What nobody looks at in time is lost, for all.
func TestHub_QueueIsBounded(t *testing.T) {
	var see func(transport.Passage)
	h := New(Options{Tap: func(f func(transport.Passage)) { see = f }, Registerer: prometheus.NewRegistry()})
	w, err := NewWatchers(h, func(sipmsg.URI) string { return "" }, nil).Watch(Query{AOR: "x"})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for range maxQueued + 5 { // Run does not run.
		see(passage(false, "192.0.2.9:5060", "x"))
	}
	if got := testutil.ToFloat64(h.metrics.lost); got != 5 {
		t.Errorf("%v lost, want 5", got)
	}
	big := make([]byte, 60000)
	for range maxBytes/len(big) + 2 {
		p := passage(false, "192.0.2.9:5060", "")
		p.Message = big
		see(p)
	}
	if len(h.queue.bytes) > maxBytes || len(h.queue.list) > maxQueued {
		t.Errorf("%d messages and %d bytes wait", len(h.queue.list), len(h.queue.bytes))
	}
}

func TestWatchers_AreFewAndLookOnlyWhileTheyAreThere(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		if r.see != nil {
			t.Fatal("looks before anybody asked")
		}
		var all []*Watcher
		for range MaxWatchers {
			all = append(all, r.watch(t, "sip:a@b"))
		}
		if _, err := r.Watch(Query{}); !errors.Is(err, ErrFull) {
			t.Errorf("one too many: %v", err)
		}
		for _, w := range all {
			if r.see == nil {
				t.Error("does not look any more")
			}
			w.Close()
			w.Close()
		}
		if r.see != nil {
			t.Error("looks when nobody is left")
		}
		r.watch(t, "sip:a@b")
	})
}

func TestRecent_ForgetsTheOldest(t *testing.T) {
	r := newRecent[int](3)
	for i := range 5 {
		r.add(i)
	}
	var left []int
	for i := range 5 {
		if r.has(i) {
			left = append(left, i)
		}
	}
	if diff := cmp.Diff([]int{2, 3, 4}, left); diff != "" || len(r.set) != 3 {
		t.Error(diff, len(r.set))
	}
}

// BenchmarkHub is what a message costs while one user is watched: for the signalling, and
// with the goroutine that looks.
func BenchmarkHub(b *testing.B) {
	raw := request("REGISTER", "sip:example.com", "r1", "Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK1;rport", "From: <sip:bob@example.com>;tag=1", "To: <sip:bob@example.com>",
		"Contact: <sip:bob@192.0.2.9:5060;pn-provider=apns;pn-param=ABCDE12345.com.example.app;pn-prid=00fc13adff78512e>;+sip.instance=\"<urn:uuid:1>\"",
		"Authorization: Digest username=\"bob\", realm=\"example.com\", nonce=\"x\", uri=\"sip:example.com\", response=\"y\"", "Content-Length: 0")
	h := New(Options{Tap: func(func(transport.Passage)) {}})
	w, err := NewWatchers(h, func(u sipmsg.URI) string {
		key, _ := sipmsg.CanonicalAOR(u)
		return key
	}, func() *Secrets { return nil }).Watch(Query{AOR: "sip:alice@example.com"})
	if err != nil {
		b.Fatal(err)
	}
	defer w.Close()
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan struct{})
	go func() {
		h.Run(ctx)
		close(done)
	}()
	p := passage(false, "192.0.2.9:5060", raw)
	b.ReportAllocs()
	for b.Loop() {
		h.see(p)
	}
	cancel()
	<-done
	b.ReportMetric(testutil.ToFloat64(h.metrics.lost)/float64(b.N), "lost/op")
}
