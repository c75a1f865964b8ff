package app

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"reveille/usrloc"
)

const qualifyYAML = `registrar: {qualify: {interval: 1s, timeout: 800ms}}`

// binding returns the only binding of a user.
func (r *rig) binding(user string) usrloc.Binding {
	r.t.Helper()
	rec, err := r.Store().Get(r.t.Context(), usrloc.AOR("sip:"+user+"@example.com"))
	if err != nil || len(rec.Bindings) != 1 {
		r.t.Fatalf("%s has %d bindings: %v", user, len(rec.Bindings), err)
	}
	return rec.Bindings[0]
}

// Phones answer where they registered, whatever the transport.
func TestQualify_PhonesAnswer(t *testing.T) {
	t.Parallel()
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			r := newRig(t, qualifyYAML)
			r.register(r.phone("alice", transport, ""))
			id := r.binding("alice").ID
			r.eventually("an answer", func() bool {
				d, ok := r.qualifier.Latency(id)
				return ok && d > 0 && d < 800*time.Millisecond
			})
			r.eventually("a second question", func() bool { return r.metric("reveille_qualify_results_total", "2xx") >= 2 })
			if n := r.metric("reveille_qualify_reachable"); n != 1 {
				t.Errorf("%v phones reachable, want 1", n)
			}
		})
	}
}

// A phone that sleeps is neither asked nor pushed, and no phone loses its binding
// for not answering.
func TestQualify_SleepersAreNotAskedAndBindingsStay(t *testing.T) {
	t.Parallel()
	r := newRig(t, qualifyYAML)
	asleep := r.phone("alice", "tcp", "token-a")
	r.register(asleep)
	asleep.Sleep()
	r.eventually("the connection to be gone", func() bool { return !r.transport.Open(r.binding("alice").Flow) })
	before := r.metric("reveille_qualify_sent_total")
	mute := r.phone("bob", "udp", "")
	r.register(mute)
	mute.Sleep()
	r.eventually("bob to be found silent, twice", func() bool { return r.metric("reveille_qualify_results_total", "timeout") >= 2 })
	if n := r.metric("reveille_qualify_unreachable"); n != 1 {
		t.Errorf("%v phones unreachable, want 1", n)
	}
	// All were to bob: they were in vain but for the one that is under way.
	sent := r.metric("reveille_qualify_sent_total") - before
	if vain := r.metric("reveille_qualify_results_total", "timeout"); sent < 2 || sent > vain+1 || r.pushes("token-a") != 0 {
		t.Errorf("%v OPTIONS, %v without an answer, %d pushes, want those to bob only", sent, vain, r.pushes("token-a"))
	}
	// Or binding fails the test.
	r.binding("alice")
	r.binding("bob")
}

// A phone behind a NAT is asked at the address from which it registered, not at
// the private one that it knows of itself.
func TestQualify_BehindNAT(t *testing.T) {
	t.Parallel()
	r := newRig(t, openYAML, qualifyYAML, `security: {open: anyone may register and call}`)
	w := r.dial("udp")
	w.send(w.request("REGISTER", "sip:example.com", "From: <sip:alice@example.com>;tag=a", "Contact: <sip:alice@10.9.8.7:5060>"))
	w.expect(200)
	id := r.binding("alice").ID
	packet := make([]byte, 1<<16)
	if err := w.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	n, err := w.conn.Read(packet)
	if err != nil {
		t.Fatal(err)
	}
	request := string(packet[:n])
	if !strings.HasPrefix(request, "OPTIONS sip:alice@10.9.8.7:5060 SIP/2.0\r\n") {
		t.Fatalf("received %q, want OPTIONS", request)
	}
	w.send(answerTo(request, 486))
	r.eventually("the answer to count", func() bool { _, ok := r.qualifier.Latency(id); return ok })
	if n := r.metric("reveille_qualify_results_total", "4xx"); n != 1 {
		t.Errorf("%v answers 4xx counted, want 1", n)
	}
}

// answerTo is a response with what every response repeats.
func answerTo(request string, code int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "SIP/2.0 %d Whatever\r\n", code)
	for s := bufio.NewScanner(strings.NewReader(request)); s.Scan(); {
		name, _, _ := strings.Cut(s.Text(), ":")
		switch name {
		case "Via", "From", "Call-ID", "CSeq":
			b.WriteString(s.Text() + "\r\n")
		case "To":
			b.WriteString(s.Text() + ";tag=phone\r\n")
		}
	}
	b.WriteString("Content-Length: 0\r\n\r\n")
	return b.String()
}

// A call in sequence goes to the phone that answered faster, whatever their q.
func TestQualify_CallsTheFasterPhone(t *testing.T) {
	t.Parallel()
	r := newRig(t, openYAML, `security: {open: anyone may register and call}`, qualifyYAML, `proxy: {fork: first_only, sort: latency}`)
	slow, fast := r.dial("udp"), r.dial("udp")
	for w, q := range map[*wire]string{slow: "1.0", fast: "0.1"} {
		w.send(w.request("REGISTER", "sip:example.com", "From: <sip:alice@example.com>;tag=a",
			"Contact: <sip:alice@"+w.conn.LocalAddr().String()+">;q="+q))
		w.expect(200)
	}
	called := make(chan string, 1)
	for name, w := range map[string]*wire{"slow": slow, "fast": fast} {
		delay := map[string]time.Duration{"slow": 400 * time.Millisecond}[name]
		go serveOptions(w.conn, delay, func() {
			select {
			case called <- name:
			default:
			}
		})
	}
	r.eventually("both to have answered, the fast one at once", func() bool {
		rec, err := r.Store().Get(t.Context(), "sip:alice@example.com")
		if err != nil || len(rec.Bindings) != 2 {
			t.Fatalf("%d bindings: %v", len(rec.Bindings), err)
		}
		took := map[bool]time.Duration{}
		for _, b := range rec.Bindings {
			d, ok := r.qualifier.Latency(b.ID)
			if !ok {
				return false
			}
			took[strings.Contains(b.Contact, fast.conn.LocalAddr().String())] = d
		}
		return took[true] < took[false]/2
	})
	caller := r.dial("udp")
	caller.send(caller.request("INVITE", "sip:alice@example.com"))
	select {
	case got := <-called:
		if got != "fast" {
			t.Errorf("the %s phone was called", got)
		}
	case <-time.After(patience):
		t.Error("nobody was called")
	}
}

// serveOptions answers OPTIONS after delay and all else with 486, until the
// connection is closed. invited is called for an INVITE.
func serveOptions(c net.Conn, delay time.Duration, invited func()) {
	packet := make([]byte, 1<<16)
	for {
		n, err := c.Read(packet)
		if err != nil {
			return
		}
		request := string(packet[:n])
		method, _, _ := strings.Cut(request, " ")
		switch method {
		case "OPTIONS":
			time.AfterFunc(delay, func() { _, _ = c.Write([]byte(answerTo(request, 200))) })
		case "INVITE":
			invited()
			_, _ = c.Write([]byte(answerTo(request, 486)))
		}
	}
}
