package resolve

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// A zone is what the DNS says, by "TYPE name". It implements Exchanger.
type zone struct {
	mu      sync.Mutex
	records map[string][]dns.RR
	// fails are questions that no server answers.
	fails map[string]bool
	// asked are the questions, in order.
	asked []string
	// gate, if set, is waited for before each answer.
	gate chan struct{}
}

// newZone reads lines of a zone file. A line "fails TYPE name" has that question
// fail.
func newZone(t testing.TB, text string) *zone {
	t.Helper()
	z := &zone{records: map[string][]dns.RR{}, fails: map[string]bool{}}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if what, ok := strings.CutPrefix(line, "fails "); ok {
			z.fails[what] = true
			continue
		}
		if line == "" {
			continue
		}
		rr, err := dns.NewRR(line)
		if err != nil || rr == nil {
			t.Fatalf("%s: %v", line, err)
		}
		key := dns.TypeToString[rr.Header().Rrtype] + " " + fold(rr.Header().Name)
		z.records[key] = append(z.records[key], rr)
	}
	return z
}

// answer is what a recursive server says, aliases followed.
func (z *zone) answer(name string, kind uint16) (*dns.Msg, error) {
	m := new(dns.Msg)
	m.SetQuestion(dns.Fqdn(name), kind)
	m.Response = true
	at := fold(name)
	for range 20 {
		key := dns.TypeToString[kind] + " " + at
		if z.fails[key] {
			return nil, fmt.Errorf("no answer about %s", key)
		}
		if list := z.records[key]; len(list) > 0 {
			m.Answer = append(m.Answer, list...)
			return m, nil
		}
		alias := z.records["CNAME "+at]
		if len(alias) == 0 {
			break
		}
		m.Answer = append(m.Answer, alias...)
		at = fold(alias[0].(*dns.CNAME).Target)
	}
	m.Ns = []dns.RR{&dns.SOA{
		Hdr: dns.RR_Header{Name: "example.", Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: 900}, Ns: "ns.example.", Mbox: "h.example.", Minttl: 30,
	}}
	return m, nil
}

// Exchange implements Exchanger.
func (z *zone) Exchange(ctx context.Context, name string, kind uint16) (*dns.Msg, error) {
	z.mu.Lock()
	z.asked = append(z.asked, dns.TypeToString[kind]+" "+name)
	gate := z.gate
	z.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.answer(name, kind)
}

// questions returns what was asked since the last call.
func (z *zone) questions() []string {
	z.mu.Lock()
	defer z.mu.Unlock()
	list := z.asked
	z.asked = nil
	return list
}

// newResolver returns a Resolver for a test, which always draws the lowest number.
func newResolver(t *testing.T, o Options) *Resolver {
	t.Helper()
	if o.Random == nil {
		o.Random = func(int) int { return 0 }
	}
	r, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Stop(context.Background()) })
	return r
}

// resolve waits for what Resolve finds.
func resolve(t *testing.T, r *Resolver, target Target) ([]Hop, error) {
	t.Helper()
	type result struct {
		hops []Hop
		err  error
	}
	got := make(chan result, 1)
	r.Resolve(t.Context(), target, func(hops []Hop, err error) { got <- result{hops, err} })
	select {
	case x := <-got:
		return x.hops, x.err
	case <-time.After(time.Minute):
		t.Fatal("Resolve says nothing")
		return nil, nil
	}
}

// list writes hops as "udp 192.0.2.1:5060".
func list(hops []Hop) string {
	var s []string
	for _, h := range hops {
		s = append(s, strings.ToLower(h.Transport.String())+" "+h.Addr.String())
	}
	return strings.Join(s, ", ")
}
