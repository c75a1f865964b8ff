package app

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"reveille/internal/sipmsg"
)

// TestOverload_RefusesNewRequests holds up all queues: nothing depends on how fast this
// machine is.
func TestOverload_RefusesNewRequests(t *testing.T) {
	r := newRig(t, openYAML, "overload: {target: 1ms, interval: 10ms, retry_after: 7s}")
	held, release := r.layer.Queue("held-up"), make(chan struct{})
	for n := range 1000 { // Every queue has some of so many.
		r.layer.Queue(fmt.Sprint("held-", n)).Post(func() { <-release })
	}
	n := 0
	// callID is a new one of that queue.
	callID := func() string {
		for {
			n++
			if id := fmt.Sprintf("c%d", n); r.layer.Queue(id) == held {
				return "Call-ID: " + id
			}
		}
	}
	for _, method := range []string{"INVITE", "MESSAGE", "OPTIONS", "REGISTER"} {
		r.eventually(method+" is refused", func() bool {
			w := r.dial("udp")
			w.send(w.request(method, "sip:example.com", callID(), "To: <sip:carol@example.com>"))
			if err := w.conn.SetReadDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
				t.Fatal(err)
			}
			b := make([]byte, 1<<16)
			// What is not refused waits, and gets no answer in time.
			n, _ := w.conn.Read(b)
			got := string(b[:n])
			return strings.HasPrefix(got, "SIP/2.0 503 ") && strings.Contains(got, "\r\nRetry-After: ")
		})
	}
	if r.metric("reveille_transaction_refused_total", "overload") < 4 {
		t.Error("refused requests are not counted")
	}
	close(release)
	w := r.dial("tcp")
	// A busy machine may be overloaded once more.
	r.eventually("the overload is over", func() bool {
		w.send(w.request("OPTIONS", "sip:example.com", callID()))
		return strings.HasPrefix(w.status(), "SIP/2.0 200 ")
	})
}

func TestOverload_Spares(t *testing.T) {
	r := newRig(t, `auth: {mode: {registrar: "off", proxy: "off"}, trusted: [{cidr: 127.0.0.0/8}]}`,
		`proxy: {emergency: {route: help, numbers: ["112"]}, routes: [{name: help, domain: psap.example.com, to: "sip:127.0.0.1:9"}]}`)
	r.register(r.phone("alice", "tcp", ""))
	w := r.dial("udp")
	for _, tt := range []struct {
		method, uri, to string
		want            bool
	}{
		{"INVITE", "sip:112@example.com", "sip:112@example.com", true},
		{"MESSAGE", "urn:service:sos.fire", "urn:service:sos.fire", true},
		{"INVITE", "sip:alice@example.com", "sip:alice@example.com", false},
		{"REGISTER", "sip:example.com", "sip:alice@example.com", true},
		{"REGISTER", "sip:example.com", "sip:carol@example.com", false},
		{"REGISTER", "sip:example.com", "tel:112", false},
	} {
		m, err := sipmsg.Parse([]byte(w.request(tt.method, tt.uri, "To: <"+tt.to+">")), netip.MustParseAddrPort("127.0.0.1:5060"))
		if err != nil {
			t.Fatal(err)
		}
		if got := r.spares(m); got != tt.want {
			t.Errorf("spares(%s %s, To %s) = %t, want %t", tt.method, tt.uri, tt.to, got, tt.want)
		}
	}
}

// TestReadyz_TellsOfOverload: whoever took the server out of use would cut its calls.
func TestReadyz_TellsOfOverload(t *testing.T) {
	r := newRig(t, "overload: {target: 1ms, interval: 10ms}")
	held, release := r.layer.Queue("held-up"), make(chan struct{})
	r.eventually("/readyz tells it", func() bool {
		// What waits behind this has waited for too long, also for an interval.
		held.Post(func() { <-release })
		w := r.dial("udp")
		for range 20 {
			w.send(w.request("OPTIONS", "sip:example.com", "Call-ID: held-up"))
		}
		tick := time.NewTimer(5 * time.Millisecond)
		<-tick.C
		release <- struct{}{}
		code, body, err := r.get("/readyz")
		return err == nil && code == 200 && body == "ready, but overloaded\n"
	})
}
