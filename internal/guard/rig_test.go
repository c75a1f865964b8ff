package guard

import (
	"context"
	"net/netip"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"reveille/flow"
	"reveille/internal/event"
	"reveille/internal/sipmsg"
)

// A rig is a Guard of a server for example.com at 192.0.2.1:5060, and what a test
// knows of it.
type rig struct {
	*Guard
	t          *testing.T
	registry   *prometheus.Registry
	registered []netip.Addr
	asked      int // how often the store was looked through
	fails      error

	mu     sync.Mutex // guards events
	events []event.SourceBanned
}

func newRig(t *testing.T, s Settings) *rig {
	t.Helper()
	r := &rig{t: t, registry: prometheus.NewRegistry()}
	var err error
	r.Guard, err = New(Options{Settings: s, Hosts: hosts{}, Registered: r.look, Sink: r, Registerer: r.registry})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) look(_ context.Context, yield func(netip.Addr)) error {
	r.asked++
	for _, a := range r.registered {
		yield(a)
	}
	return r.fails
}

// Emit hides that of the Guard: this is the Sink to which bans are told.
func (r *rig) Emit(e event.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e.(event.SourceBanned))
}

type hosts struct{}

func (hosts) Takes(u sipmsg.URI) bool {
	return u.String() == "tel:112" || u.String() == "sip:112@192.0.2.1"
}

func (hosts) Domain(host string) bool { return host == "example.com" }

func (hosts) Address(host string, port uint16) bool {
	return host == "192.0.2.1" && (port == 0 || port == 5060)
}

func (r *rig) metric(name string, label string) (sum float64) {
	r.t.Helper()
	families, err := r.registry.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			if label == "" || len(m.GetLabel()) == 1 && m.GetLabel()[0].GetValue() == label {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

func udp(addr string) flow.Flow {
	return flow.Flow{Listener: "udp", Transport: flow.UDP, Remote: netip.AddrPortFrom(netip.MustParseAddr(addr), 5060)}
}

func tcp(addr string) flow.Flow {
	return flow.Flow{Listener: "tcp", Transport: flow.TCP, Remote: netip.AddrPortFrom(netip.MustParseAddr(addr), 40000), Conn: 1}
}

// parsed reads a request with that method and Request-URI; more are further
// header fields.
func parsed(t *testing.T, method, uri string, more ...string) *sipmsg.Message {
	t.Helper()
	text := method + " " + uri + " SIP/2.0\r\nVia: SIP/2.0/UDP 198.51.100.7:5060;branch=z9hG4bK1\r\nFrom: <sip:x@example.com>;tag=1\r\n" +
		"Call-ID: c\r\nCSeq: 1 " + method + "\r\nContent-Length: 0\r\n"
	to := "To: <sip:alice@example.com>\r\n"
	for _, m := range more {
		if len(m) > 3 && m[:3] == "To:" {
			to = ""
		}
		text += m + "\r\n"
	}
	m, err := sipmsg.Parse([]byte(text+to+"\r\n"), netip.MustParseAddrPort("198.51.100.7:5060"))
	if err != nil {
		t.Fatal(err)
	}
	return m
}
