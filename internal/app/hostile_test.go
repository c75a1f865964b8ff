package app

import (
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"reveille/internal/phone"
)

// The transports' own tests look at each kind of abuse in detail. These look
// at one thing: a phone is served meanwhile.

func TestHostile_MalformedMessages(t *testing.T) {
	tests := []struct {
		name string
		// make returns what is sent.
		make func(w *wire) string
		// status is the answer to it; 0: none.
		status int
		// ends: a stream that says this cannot be read on.
		ends bool
	}{
		{"no SIP", func(*wire) string { return "GET / HTTP/1.1\r\nHost: x\r\n\r\n" }, 0, true},
		{"no start line", func(*wire) string { return "\xffnothing\r\n\r\n" }, 0, true},
		{"two To", func(w *wire) string {
			return w.request("OPTIONS", "sip:example.com", "X: y\r\nTo: <sip:other@example.com>")
		}, 400, false},
		{"CSeq of another method", func(w *wire) string { return w.request("OPTIONS", "sip:example.com", "CSeq: 1 INVITE") }, 400, false},
		{"CSeq without bounds", func(w *wire) string { return w.request("OPTIONS", "sip:example.com", "CSeq: 99999999999 OPTIONS") }, 400, false},
		{"From without brackets", func(w *wire) string { return w.request("OPTIONS", "sip:example.com", "From: <sip:bob@") }, 400, false},
		{"another version", func(w *wire) string {
			return strings.Replace(w.request("OPTIONS", "sip:example.com"), "SIP/2.0\r\n", "SIP/7.0\r\n", 1)
		}, 505, false},
		{"ACK that is malformed", func(w *wire) string { return w.request("ACK", "sip:example.com", "CSeq: 1 INVITE") }, 0, false},
		{"response to nothing", func(w *wire) string {
			_, rest, _ := strings.Cut(w.request("OPTIONS", "sip:example.com"), "\r\n")
			return "SIP/2.0 200 OK\r\n" + rest
		}, 0, false},
	}
	for _, tt := range tests {
		for _, transport := range []string{"udp", "tcp"} {
			t.Run(tt.name+" over "+transport, func(t *testing.T) {
				t.Parallel()
				r := newRig(t)
				w := r.dial(transport)
				discarded := r.metric("reveille_inlet_discarded_total")
				w.send(tt.make(w))
				if tt.status != 0 {
					w.expect(tt.status)
				}
				if transport == "tcp" && tt.ends {
					if got := w.status(); got != "" {
						t.Errorf("received %q, want an end", got)
					}
					return
				}
				if tt.status == 0 || tt.status == 400 {
					r.eventually("it is counted", func() bool {
						return r.metric("reveille_inlet_discarded_total") > discarded
					})
				}
				// The next answer is to this: what was malformed got no other.
				w.send(w.request("OPTIONS", "sip:example.com"))
				w.expect(200)
				r.register(r.phone("alice", transport, ""))
			})
		}
	}
}

// heap returns the bytes in use after a collection.
func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestHostile_RegisterFlood: whoever has no password costs nothing that lasts.
func TestHostile_RegisterFlood(t *testing.T) {
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			r := newRig(t)
			w := r.dial(transport)
			flood := func(n int) {
				for i := range n {
					w.send(w.request("REGISTER", "sip:example.com", fmt.Sprintf("From: <sip:user%d@example.com>;tag=f", i),
						fmt.Sprintf("To: <sip:user%d@example.com>", i)))
					w.expect(401)
				}
			}
			// What is made once is made before the first look.
			flood(200)
			before := heap()
			const n = 3000
			flood(n)
			after := heap()
			if live := r.metric("reveille_transaction_live"); live != 0 {
				t.Errorf("%v transactions alive, want none", live)
			}
			if got := r.metric("reveille_usrloc_changes_total"); got != 0 {
				t.Errorf("%v changes in the location service", got)
			}
			// A transaction that stays would be some 2 KB, 6 MB in all.
			if grown := int64(after) - int64(before); grown > 1<<20 {
				t.Errorf("%d requests left %d bytes", n, grown)
			}
			if got := r.metric("reveille_auth_decisions_total"); got < n {
				t.Errorf("%v decisions were counted, want at least %d", got, n)
			}
			r.register(r.phone("alice", transport, ""))
		})
	}
}

// TestHostile_GuessesAreSlowedDown: the source that guesses is refused, even
// with the right password, and without a look at it.
func TestHostile_GuessesAreSlowedDown(t *testing.T) {
	r := newRig(t, strings.Replace(usersYAML, "limit: {per_source: 0}", "limit: {per_source: 1, burst: 3}", 1))
	guess := r.phone("alice", "udp", "", func(o *phone.Options) { o.Password = "guess" })
	refused := 0
	for range 10 {
		if err := guess.Register(r.within()); status(err) != 401 && err != nil {
			refused++
		}
	}
	if refused == 0 {
		t.Error("ten guesses from one address were all looked at")
	}
}

// An abuse is what a peer does with a connection instead of speaking SIP.
type abuse struct {
	name string
	// begin does it once; what goes on runs until the connection is closed.
	begin func(r *rig, c net.Conn)
}

func abuses() []abuse {
	return []abuse{
		{"says nothing", func(*rig, net.Conn) {}},
		{"never reads", func(r *rig, c net.Conn) {
			w := &wire{t: r.t, conn: c}
			go func() {
				// It ends when the server has had enough, or with the connection.
				for i := 0; ; i++ {
					if _, err := io.WriteString(c, w.request("OPTIONS", "sip:example.com", fmt.Sprintf("Call-ID: never-%d", i))); err != nil {
						return
					}
				}
			}()
		}},
		{"a byte at a time", func(r *rig, c net.Conn) {
			text := (&wire{t: r.t, conn: c}).request("OPTIONS", "sip:example.com")
			tick := time.NewTicker(20 * time.Millisecond)
			go func() {
				defer tick.Stop()
				for i := range text {
					<-tick.C
					if _, err := io.WriteString(c, text[i:i+1]); err != nil {
						return
					}
				}
			}()
		}},
		{"a huge Content-Length", func(r *rig, c net.Conn) {
			io.WriteString(c, (&wire{t: r.t, conn: c}).request("OPTIONS", "sip:example.com", "Content-Length: 4000000000"))
		}},
		{"a body that never comes", func(r *rig, c net.Conn) {
			io.WriteString(c, (&wire{t: r.t, conn: c}).request("OPTIONS", "sip:example.com", "Content-Length: 60000"))
		}},
		{"a header without end", func(r *rig, c net.Conn) {
			io.WriteString(c, "OPTIONS sip:example.com SIP/2.0\r\nX: "+strings.Repeat("x", 100_000))
		}},
	}
}

func TestHostile_PhonesAreServedMeanwhile(t *testing.T) {
	t.Parallel()
	for _, tt := range abuses() {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			for range 2 {
				c, err := net.Dial("tcp", r.Addr("tcp").String())
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { c.Close() })
				tt.begin(r, c)
			}
			alice := r.sleeper("alice", "tcp", "token-of-alice")
			bob := r.phone("bob", "tcp", "")
			r.register(bob)
			began := time.Now()
			if err := ring(r, bob); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("the call took %s", took)
			}
			if n := alice.Count(phone.Invited); n != 1 {
				t.Errorf("rang %d times, want once", n)
			}
		})
	}
}

// TestHostile_HugeContentLengthIsRefused: such a connection is of no use, and
// nothing is put by for what it announces.
func TestHostile_HugeContentLengthIsRefused(t *testing.T) {
	r := newRig(t)
	before := heap()
	var wires []*wire
	for range 30 {
		w := r.dial("tcp")
		w.send(w.request("OPTIONS", "sip:example.com", "Content-Length: 4000000000"))
		wires = append(wires, w)
	}
	for _, w := range wires {
		for w.status() != "" {
			// An answer may come; then the connection ends.
			continue
		}
	}
	if grown := int64(heap()) - int64(before); grown > 8<<20 {
		t.Errorf("%d connections left %d bytes", len(wires), grown)
	}
	r.eventually("all connections are closed", func() bool { return r.metric("reveille_transport_connections") == 0 })
}
