package app

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"

	"reveille/internal/phone"
	"reveille/internal/trace"
)

// A viewer keeps what a trace shows.
type viewer struct {
	mu   sync.Mutex
	seen []trace.Shown
}

// watch looks at the messages of a user until the test ends.
func (r *rig) watch(user string) *viewer {
	r.t.Helper()
	w, err := r.traceCall().Watch(user, false)
	if err != nil {
		r.t.Fatal(err)
	}
	v := &viewer{}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			list, lost, err := w.Next(ctx)
			if err != nil {
				return
			}
			if lost > 0 {
				r.t.Errorf("%d messages are missing", lost)
			}
			v.mu.Lock()
			v.seen = append(v.seen, list...)
			v.mu.Unlock()
		}
	}()
	r.t.Cleanup(func() {
		cancel()
		<-done
		w.Close()
	})
	return v
}

// count returns how many messages were shown whose first line begins so.
func (v *viewer) count(direction, transport, first string) (n int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, s := range v.seen {
		if s.Direction == direction && s.Transport == transport && strings.HasPrefix(s.First, first) && !s.Again {
			n++
		}
	}
	return n
}

// TestTrace_ACallToASleepingPhone: one sees the REGISTER that wakes the phone and both
// sides of the call, whatever transport, fast path or not, and no secret.
func TestTrace_ACallToASleepingPhone(t *testing.T) {
	r := newRig(t)
	const token = "token-of-alice-which-is-long-enough"
	alice, bob := r.sleeper("alice", "tcp", token), r.phone("bob", "udp", "")
	r.register(bob)
	v, others := r.watch("alice@EXAMPLE.COM"), r.watch("sip:carol@example.com")
	if err := ring(r, bob); err != nil {
		t.Fatal(err)
	}
	r.eventually("alice's phone knows that it is registered", func() bool { return alice.Count(phone.Registered) == 2 })
	for _, want := range []struct{ direction, transport, first string }{
		{trace.In, "UDP", "INVITE sip:alice@example.com"},
		{trace.Out, "UDP", "SIP/2.0 100"},
		{trace.Out, "UDP", "SIP/2.0 407"},
		{trace.In, "TCP", "REGISTER"},
		{trace.Out, "TCP", "SIP/2.0 200"},
		{trace.Out, "TCP", "INVITE sip:"},
		{trace.In, "TCP", "SIP/2.0 200"},
		{trace.Out, "UDP", "SIP/2.0 200"},
		{trace.In, "UDP", "ACK"},
		{trace.Out, "TCP", "ACK"},
	} {
		r.eventually("it is shown: "+want.direction+" "+want.transport+" "+want.first, func() bool { return v.count(want.direction, want.transport, want.first) > 0 })
	}
	v.mu.Lock()
	all, err := json.Marshal(v.seen)
	v.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{token, `response=\"`, `nonce=\"`} {
		if s := strings.ReplaceAll(string(all), secret+`***`, ""); strings.Contains(s, secret) {
			t.Errorf("%s is shown", secret)
		}
	}
	if !strings.Contains(string(all), "pn-prid=***") || !strings.Contains(string(all), `username=\"alice\"`) {
		t.Errorf("too little is shown: %s", all)
	}
	if others.count(trace.In, "UDP", "") != 0 || others.count(trace.Out, "TCP", "") != 0 {
		t.Error("another user is shown the call")
	}
}
