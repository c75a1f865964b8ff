package resolve

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

const oneHost = "a.example. 60 IN A 192.0.2.1\na.example. 60 IN AAAA 2001:db8::1"

// TestResolver_Cache: answers are kept as long as they say, "there is none" as the
// SOA says (RFC 2308 §5), and failures for a moment.
func TestResolver_Cache_RFC2308(t *testing.T) {
	tests := []struct {
		name, zone, uri string
		// kept is how long no question is asked.
		kept time.Duration
	}{
		{"as long as it says", oneHost, "sip:a.example:5060", time.Minute},
		{"the shorter of alias and host", "a.example. 10 IN CNAME b.example.\nb.example. 60 IN A 192.0.2.1\nb.example. 60 IN AAAA 2001:db8::1", "sip:a.example:5060", 10 * time.Second},
		{"no longer than an hour", "a.example. 999999 IN A 192.0.2.1\na.example. 999999 IN AAAA 2001:db8::1", "sip:a.example:5060", time.Hour},
		{"there is none", "", "sip:a.example:5060", 30 * time.Second},
		{"failures", "fails A a.example\nfails AAAA a.example", "sip:a.example:5060", 2 * time.Second},
		{"not at all", "a.example. 0 IN A 192.0.2.1\na.example. 60 IN AAAA 2001:db8::1", "sip:a.example:5060", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				z := newZone(t, tt.zone)
				r := newResolver(t, Options{Exchanger: z})
				first, firstErr := resolve(t, r, target(t, tt.uri))
				if len(z.questions()) == 0 {
					t.Fatal("nobody was asked")
				}
				if tt.kept > 0 {
					time.Sleep(tt.kept - time.Millisecond)
					again, err := resolve(t, r, target(t, tt.uri))
					if list(again) != list(first) || (err == nil) != (firstErr == nil) {
						t.Errorf("kept %q, %v, want %q, %v", list(again), err, list(first), firstErr)
					}
					if asked := z.questions(); len(asked) != 0 {
						t.Errorf("asked %v within %v", asked, tt.kept)
					}
				}
				time.Sleep(time.Millisecond)
				_, _ = resolve(t, r, target(t, tt.uri))
				if len(z.questions()) == 0 {
					t.Errorf("nobody was asked after %v", tt.kept)
				}
			})
		})
	}
}

// TestResolver_Inline: what is known takes no other goroutine.
func TestResolver_Inline(t *testing.T) {
	r := newResolver(t, Options{Exchanger: newZone(t, oneHost)})
	for _, uri := range []string{"sip:192.0.2.9", "sip:a.example:5060", "sip:x.invalid"} {
		_, _ = resolve(t, r, target(t, uri))
		told := false
		r.Resolve(t.Context(), target(t, uri), func([]Hop, error) { told = true })
		if !told {
			t.Errorf("%s: told later", uri)
		}
	}
}

// TestResolver_Weights: the order among equals is drawn anew for each request.
func TestResolver_Weights_RFC2782(t *testing.T) {
	z := newZone(t, `
_sip._udp.w.example. 300 IN SRV 0 100 5061 h.w.example.
_sip._udp.w.example. 300 IN SRV 0 300 5063 h.w.example.
h.w.example. 300 IN A 192.0.2.1`)
	r, err := New(Options{Exchanger: z})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Stop(context.Background()) }()
	first := map[uint16]int{}
	for range 2000 {
		hops, err := resolve(t, r, target(t, "sip:w.example;transport=udp"))
		if err != nil {
			t.Fatal(err)
		}
		first[hops[0].Addr.Port()]++
	}
	if n := first[5063]; n < 1350 || n > 1650 {
		t.Errorf("%d of 2000 went to the one with three quarters of the weight", n)
	}
}

// TestResolver_OneQuestion: many who want to know the same ask once.
func TestResolver_OneQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := newZone(t, oneHost)
		z.gate = make(chan struct{})
		r := newResolver(t, Options{Exchanger: z})
		told := 0
		for range 50 {
			r.Resolve(t.Context(), target(t, "sip:a.example:5060"), func(hops []Hop, err error) {
				z.mu.Lock()
				defer z.mu.Unlock()
				if told++; err != nil || len(hops) != 2 {
					t.Errorf("hops %v, %v", hops, err)
				}
			})
		}
		synctest.Wait()
		close(z.gate)
		synctest.Wait()
		if asked := z.questions(); told != 50 || len(asked) != 2 {
			t.Errorf("told %d, asked %v", told, asked)
		}
	})
}

// TestResolver_Bounds: look-ups that wait, and answers that are kept, are counted.
func TestResolver_Bounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := newZone(t, "")
		z.gate = make(chan struct{})
		reg := prometheus.NewPedanticRegistry()
		r := newResolver(t, Options{Exchanger: z, MaxPending: 3, MaxEntries: 4, Registerer: reg})
		var busy, other int
		for i := range 5 {
			r.Resolve(t.Context(), Target{Host: fmt.Sprintf("h%d.example", i), Port: 5060}, func(_ []Hop, err error) {
				z.mu.Lock()
				defer z.mu.Unlock()
				if errors.Is(err, ErrBusy) {
					busy++
				} else {
					other++
				}
			})
		}
		synctest.Wait()
		if busy != 2 || other != 0 || r.pendingCount() != 3 {
			t.Errorf("%d busy, %d told, %d pending", busy, other, r.pendingCount())
		}
		close(z.gate)
		synctest.Wait()
		if other != 3 || r.pendingCount() != 0 || r.cache.entries.Len() > 4 {
			t.Errorf("%d told, %d pending, %d kept", other, r.pendingCount(), r.cache.entries.Len())
		}
		if problems, err := testutil.GatherAndLint(reg); err != nil || len(problems) != 0 {
			t.Errorf("metrics: %v, %v", problems, err)
		}
	})
}

// TestResolver_Ends: silent servers and Stop end a look-up.
func TestResolver_Ends(t *testing.T) {
	tests := []struct {
		name string
		end  func(*Resolver)
	}{
		{"silence", func(*Resolver) {}},
		{"Stop", func(r *Resolver) { _ = r.Stop(context.Background()) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				z := newZone(t, oneHost)
				z.gate = make(chan struct{})
				r := newResolver(t, Options{Exchanger: z})
				began := time.Now()
				told := make(chan error, 1)
				r.Resolve(t.Context(), target(t, "sip:a.example"), func(_ []Hop, err error) { told <- err })
				synctest.Wait()
				tt.end(r)
				err := <-told
				if err == nil || errors.Is(err, ErrNotFound) || time.Since(began) > 10*time.Second {
					t.Errorf("told %v after %v", err, time.Since(began))
				}
			})
		})
	}
	r := newResolver(t, Options{Exchanger: newZone(t, oneHost)})
	_ = r.Stop(context.Background())
	if _, err := resolve(t, r, target(t, "sip:a.example")); !errors.Is(err, ErrStopped) {
		t.Errorf("after Stop: %v", err)
	}
}

func TestNew_Incomplete(t *testing.T) {
	if _, err := New(Options{}); err == nil || !strings.Contains(err.Error(), "Exchanger") {
		t.Errorf("New = %v", err)
	}
}

// hostile answers every question with the same bytes.
type hostile struct {
	wire  []byte
	asked int
}

func (h *hostile) Exchange(_ context.Context, name string, kind uint16) (*dns.Msg, error) {
	h.asked++
	m := new(dns.Msg)
	if err := m.Unpack(h.wire); err != nil {
		return nil, err
	}
	// The worst that a server can do: all of it is about what was asked.
	for _, rr := range m.Answer {
		if rr.Header().Rrtype == kind {
			rr.Header().Name = dns.Fqdn(name)
		}
	}
	return m, nil
}

// FuzzResolve feeds hostile answers. Whatever they say, the look-up ends, with a
// bounded number of questions and hops that can be sent to.
func FuzzResolve(f *testing.F) {
	seed := func(lines ...string) {
		m := new(dns.Msg)
		m.SetQuestion("a.example.", dns.TypeA)
		m.Response = true
		for _, l := range lines {
			rr, err := dns.NewRR(l)
			if err != nil {
				f.Fatal(err)
			}
			m.Answer = append(m.Answer, rr)
		}
		wire, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(wire, uint8(0))
		f.Add(wire, uint8(1))
	}
	seed("a.example. 1 IN A 192.0.2.1", "a.example. 1 IN AAAA 2001:db8::1", "a.example. 1 IN AAAA ::ffff:192.0.2.1")
	seed("a.example. 1 IN CNAME a.example.")
	seed("a.example. 1 IN CNAME b.example.", "b.example. 1 IN CNAME a.example.")
	seed(`a.example. 1 IN NAPTR 1 1 "s" "SIP+D2U" "" a.example.`, "a.example. 1 IN SRV 0 0 5060 a.example.", "a.example. 1 IN A 192.0.2.1")
	var many []string
	for i := range 60 {
		many = append(many, fmt.Sprintf("a.example. 1 IN SRV %d %d %d h%d.example.", i%3, i, 5060+i, i), fmt.Sprintf("a.example. 1 IN A 192.0.2.%d", i),
			fmt.Sprintf(`a.example. 1 IN NAPTR 1 %d "s" "SIPS+D2T" "" s%d.example.`, i, i))
	}
	seed(many...)
	f.Fuzz(func(t *testing.T, wire []byte, form uint8) {
		h := &hostile{wire: wire}
		r, err := New(Options{Exchanger: h})
		if err != nil {
			t.Fatal(err)
		}
		to := Target{Host: "a.example", Secure: form&1 != 0}
		hops, err := resolve(t, r, to)
		_ = r.Stop(context.Background())
		if (err == nil) != (len(hops) > 0) || len(hops) > maxHops {
			t.Fatalf("%d hops, %v", len(hops), err)
		}
		// Each question may be answered by an alias, whose own answer is asked for.
		if h.asked > maxQuestions*maxAliases {
			t.Fatalf("%d questions", h.asked)
		}
		for _, hop := range hops {
			switch a := hop.Addr.Addr(); {
			case !a.IsValid() || a.Is4In6() || a.IsUnspecified() || a.IsMulticast() || hop.Addr.Port() == 0 || hop.Name != "a.example":
				t.Fatalf("hop %+v", hop)
			case to.Secure && !hop.Transport.Secure():
				t.Fatalf("sips leads to %+v", hop)
			}
		}
	})
}
