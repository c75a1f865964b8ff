package proxy

import (
	"context"
	"regexp"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"reveille/usrloc"
)

func TestLookup_MethodFilter_RFC3261_21_4_6(t *testing.T) {
	inWorld(t, Options{MethodFilter: true}, func(w *world) {
		for addr, methods := range map[string]usrloc.Methods{
			"198.51.100.1:5060": usrloc.ParseMethods("INVITE, ACK, BYE"),
			"198.51.100.2:5060": usrloc.ParseMethods("INVITE, ACK, MESSAGE"),
		} {
			p := w.newPhone("alice", udp(addr), "")
			p.methods = methods
			w.register(p)
		}
		w.recv(caller, request("MESSAGE", "sip:alice@example.com", "m1"))
		w.reply(w.expect("MESSAGE 198.51.100.2:5060")[0], 200)
		w.expect("200 203.0.113.9:5060")
		w.recv(caller, request("REFER", "sip:alice@example.com", "r1"))
		s := w.one()
		if allow, _ := s.m.HeaderNamed("Allow"); s.m.Status() != 405 || allow != "INVITE, ACK, BYE, MESSAGE" {
			t.Errorf("answer %d with Allow %q, want 405 with what the phones take", s.m.Status(), allow)
		}
		// A phone that listed nothing takes everything.
		w.register(w.newPhone("alice", udp("198.51.100.3:5060"), ""))
		w.recv(caller, request("REFER", "sip:alice@example.com", "r2"))
		w.reply(w.expect("REFER 198.51.100.3:5060")[0], 202)
		w.expect("202 203.0.113.9:5060")
	})
}

// A phone that joins a call while it waits has to pass the filters, too.
func TestLookup_UserAgentFilter(t *testing.T) {
	inWorld(t, Options{UserAgents: regexp.MustCompile(`^Good`)}, func(w *world) {
		asleep := w.newPhone("alice", udp("198.51.100.1:5060"), "fcm")
		asleep.agent = "Good/1"
		w.register(asleep)
		w.sleeps(asleep)
		other := w.newPhone("alice", udp("198.51.100.2:5060"), "")
		other.agent = "Bad/1"
		w.register(other)
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		w.expect()
		late := w.newPhone("alice", udp("198.51.100.3:5060"), "")
		late.agent = "Bad/2"
		w.register(late)
		w.expect()
		time.Sleep(time.Second)
		w.register(asleep)
		w.reply(w.expect("INVITE 198.51.100.1:5060")[0], 200)
		w.expect("200 203.0.113.9:5060")
		w.unregister(asleep)
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c2"))
		w.expect("480 203.0.113.9:5060")
	})
}

// broken is a location service that cannot say.
type broken struct{ usrloc.Store }

func (broken) Watch(context.Context, usrloc.AOR, time.Time, func(usrloc.Change)) (usrloc.Record, func(), error) {
	return usrloc.Record{}, nil, usrloc.ErrUnavailable
}

func TestLookup_ResultsAreCounted(t *testing.T) {
	inWorld(t, Options{MethodFilter: true, Registerer: prometheus.NewRegistry()}, func(w *world) {
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		p := w.newPhone("alice", udp("198.51.100.1:5060"), "fcm")
		p.methods = usrloc.ParseMethods("INVITE")
		w.register(p)
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c2"))
		w.recv(caller, request("MESSAGE", "sip:alice@example.com", "c3"))
		w.sleeps(p)
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c4"))
		o := *w.proxy.opts()
		o.Store = broken{o.Store}
		if err := w.proxy.Reload(o); err != nil {
			t.Fatal(err)
		}
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c5"))
		for _, what := range []finding{found, pushOnly, none, unsupported, failed} {
			if n := testutil.ToFloat64(w.proxy.metrics.lookups.WithLabelValues(string(what))); n != 1 {
				t.Errorf("%s counted %v times, want once", what, n)
			}
		}
	})
}
