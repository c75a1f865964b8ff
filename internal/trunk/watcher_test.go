package trunk

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"reveille/flow"
	"reveille/internal/probe"
	"reveille/internal/resolve"
	"reveille/internal/sipmsg"
	"reveille/internal/transaction"
)

// A world is a Watcher on a real transaction layer, inside a synctest bubble, with a
// pretend DNS and pretend next hops.
type world struct {
	t        *testing.T
	w        *Watcher
	layer    *transaction.Layer
	registry *prometheus.Registry

	mu sync.Mutex
	// dns is what names have; nil: the servers are silent.
	dns map[string][]string
	// answers is what a hop answers, by its address: 0 nothing, -1 takes no connection.
	answers map[string]int
	asked   []string // the start lines of OPTIONS and where they went
	log     strings.Builder
	changes int
}

const (
	hopA = "198.51.100.81:5060"
	hopB = "198.51.100.82:5060"
)

func inWorld(t *testing.T, fn func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, registry: prometheus.NewRegistry(), dns: map[string][]string{}, answers: map[string]int{hopA: 200, hopB: 200}}
		w.layer = transaction.New(transaction.Options{Sender: w, User: w, Queues: 2})
		w.layer.Start()
		var err error
		w.w, err = New(Options{
			Resolver: w, Flows: w, Prober: &probe.Prober{Layer: w.layer, Flows: w, Domain: "example.com"},
			Changed: func() { w.with(func() { w.changes++ }) },
			Logger:  slog.New(slog.NewTextHandler(w, nil)), Registerer: w.registry,
		})
		if err != nil {
			t.Fatal(err)
		}
		w.w.Start()
		// After a failed test, too, no goroutine may stay in the bubble.
		defer func() {
			if err := w.w.Stop(context.Background()); err != nil {
				t.Errorf("Stop: %v", err)
			}
			began := time.Now()
			if err := w.layer.Stop(context.Background()); err != nil || time.Since(began) > 0 {
				t.Errorf("Stop of the transactions: %v after %v", err, time.Since(began))
			}
		}()
		fn(w)
	})
}

func (w *world) with(fn func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	fn()
}

func (w *world) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.Write(p)
}

// logged counts the lines that say something, and forgets them.
func (w *world) logged(what string) (n int) {
	w.with(func() { n = strings.Count(w.log.String(), what) })
	return n
}

func (w *world) Resolve(_ context.Context, t resolve.Target, done func([]resolve.Hop, error)) {
	var hops []resolve.Hop
	w.with(func() {
		for _, a := range w.dns[t.Host] {
			hops = append(hops, resolve.Hop{Transport: flow.UDP, Addr: netip.MustParseAddrPort(a), Name: t.Host})
		}
	})
	if len(hops) == 0 {
		done(nil, errors.New("no answer"))
		return
	}
	done(hops, nil)
}

func (w *world) ConnectTo(t flow.Transport, _ string, to netip.AddrPort, done func(flow.Flow, error)) {
	var err error
	w.with(func() {
		if w.answers[to.String()] < 0 {
			err = errors.New("refused")
		}
	})
	done(flow.Flow{Listener: "udp", Transport: t, Remote: to}, err)
}

func (w *world) IsOwn(host string, _ uint16, _ flow.Transport) bool { return host == "192.0.2.1" }

func (w *world) Advertised(flow.Flow) (string, uint16) { return "192.0.2.1", 5060 }

// Send implements transaction.Sender.
func (w *world) Send(f flow.Flow, b []byte) error {
	m, err := sipmsg.Parse(b, f.Remote)
	if err != nil {
		w.t.Errorf("what is sent does not parse: %v\n%s", err, b)
		return nil
	}
	var code int
	w.with(func() {
		code = w.answers[f.Remote.String()]
		w.asked = append(w.asked, fmt.Sprintf("%s %s at %s", m.Method(), m.RequestURI(), f.Remote))
	})
	if code > 0 {
		time.AfterFunc(10*time.Millisecond, func() {
			r, err := sipmsg.Parse(m.AppendReply(nil, sipmsg.Reply{Code: code}), f.Remote)
			if err != nil {
				w.t.Errorf("the answer does not parse: %v", err)
				return
			}
			w.layer.Receive(f, r)
		})
	}
	return nil
}

// The rest of transaction.User: nothing comes in.

func (*world) Request(*transaction.Server)                        {}
func (*world) Ack(*transaction.Queue, flow.Flow, *sipmsg.Message) {}
func (*world) Cancel(*transaction.Server, *sipmsg.Message)        {}
func (*world) Stray(flow.Flow, *sipmsg.Message)                   {}

func target(t *testing.T, uri string) resolve.Target {
	t.Helper()
	u, err := sipmsg.ParseURI(uri)
	if err != nil {
		t.Fatal(err)
	}
	to, err := resolve.TargetOf(u)
	if err != nil {
		t.Fatal(err)
	}
	return to
}

func (w *world) route(name string, c Check, uris ...string) Route {
	r := Route{Name: name, Check: c}
	for _, u := range uris {
		r.Targets = append(r.Targets, target(w.t, u))
	}
	return r
}

// says what is known of a hop of a route: up, down or unknown.
func (w *world) says(route, addr, host string) string {
	w.t.Helper()
	synctest.Wait()
	up, _, ok := w.w.Checked(route, resolve.Hop{Transport: flow.UDP, Addr: netip.MustParseAddrPort(addr), Name: host})
	switch {
	case !ok:
		return "unknown"
	case up:
		return "up"
	}
	return "down"
}

func (w *world) want(route, addr, host, want string) {
	w.t.Helper()
	if got := w.says(route, addr, host); got != want {
		w.t.Errorf("%s of %s is %s, want %s", addr, route, got, want)
	}
}

var often = Check{Interval: 10 * time.Second, Timeout: 2 * time.Second, Down: 2, Up: 2}

func (w *world) set(addr string, code int) { w.with(func() { w.answers[addr] = code }) }

// TestWatcher_Checks: each address of each next hop is asked, and what it answers counts
// after so many times.
func TestWatcher_Checks(t *testing.T) {
	inWorld(t, func(w *world) {
		w.with(func() { w.dns["gw.example"] = []string{hopA, hopB} })
		w.w.Set([]Route{w.route("named", often, "sip:gw.example"), w.route("numeric", often, "sip:"+hopA), w.route("unchecked", Check{}, "sip:"+hopB)})
		time.Sleep(time.Second)
		w.want("named", hopA, "gw.example", "up")
		w.want("named", hopB, "gw.example", "up")
		w.want("numeric", hopA, "", "up")
		w.want("unchecked", hopB, "", "unknown")
		w.with(func() {
			for _, want := range []string{"OPTIONS sip:gw.example at " + hopA, "OPTIONS sip:gw.example at " + hopB, "OPTIONS sip:" + hopA + " at " + hopA} {
				if n := strings.Count(strings.Join(w.asked, "\n")+"\n", want+"\n"); n != 1 {
					t.Errorf("%q was sent %d times in %q", want, n, w.asked)
				}
			}
		})
		for _, fail := range []int{0, -1, 503} {
			// Between two questions are 9 to 11 seconds.
			w.set(hopA, fail)
			time.Sleep(8 * time.Second)
			w.want("named", hopA, "gw.example", "up")
			time.Sleep(18 * time.Second)
			w.want("named", hopA, "gw.example", "down")
			w.want("named", hopB, "gw.example", "up")
			w.set(hopA, 404)
			time.Sleep(8 * time.Second)
			w.want("named", hopA, "gw.example", "down")
			time.Sleep(18 * time.Second)
			w.want("named", hopA, "gw.example", "up")
		}
		// Two routes have hop A; the first answers made three hops known.
		if down, up := w.logged(`"a next hop is down"`), w.logged(`"a next hop is up"`); down != 6 || up != 3+6 {
			t.Errorf("%d lines say down and %d up, want 6 and 9:\n%s", down, up, w.log.String())
		}
	})
}

func TestWatcher_Metrics(t *testing.T) {
	inWorld(t, func(w *world) {
		w.with(func() { w.dns["gw.example"] = []string{hopA, hopB} })
		w.set(hopB, 503)
		w.w.Set([]Route{w.route("carrier", Check{Interval: time.Minute, Timeout: time.Second, Down: 1, Up: 1}, "sip:gw.example")})
		time.Sleep(time.Second)
		err := testutil.GatherAndCompare(w.registry, strings.NewReader(`
# HELP reveille_trunk_addresses Addresses of next hops, by route, next hop as configured and state: up, down or, without an answer to OPTIONS, unknown.
# TYPE reveille_trunk_addresses gauge
reveille_trunk_addresses{hop="sip:gw.example",route="carrier",state="down"} 1
reveille_trunk_addresses{hop="sip:gw.example",route="carrier",state="unknown"} 0
reveille_trunk_addresses{hop="sip:gw.example",route="carrier",state="up"} 1
`), "reveille_trunk_addresses")
		if err != nil {
			t.Error(err)
		}
		if ok, refused := testutil.ToFloat64(w.w.metrics.results.WithLabelValues("ok")), testutil.ToFloat64(w.w.metrics.results.WithLabelValues("refused")); ok != 1 || refused != 1 {
			t.Errorf("%v answers were ok and %v refused, want one each", ok, refused)
		}
		problems, err := testutil.GatherAndLint(w.registry)
		if err != nil || len(problems) > 0 {
			t.Errorf("lint: %v, %v", problems, err)
		}
	})
}

// TestWatcher_Names: the addresses of a name are those that the DNS says now, and the last
// ones while it says nothing.
func TestWatcher_Names(t *testing.T) {
	inWorld(t, func(w *world) {
		at := func(addr string) []string { return w.w.At(flow.UDP, netip.MustParseAddrPort(addr)) }
		check := func(when string, a, b []string) {
			t.Helper()
			synctest.Wait()
			if diff := cmp.Diff([][]string{a, b}, [][]string{at(hopA), at(hopB)}); diff != "" {
				t.Errorf("%s: %s", when, diff)
			}
		}
		w.w.Set([]Route{w.route("carrier", Check{}, "sip:gw.example"), w.route("numeric", Check{}, "sip:"+hopB)})
		check("before the DNS knows", nil, []string{"numeric"})
		w.with(func() { w.dns["gw.example"] = []string{hopA, "192.0.2.1:5060"} })
		time.Sleep(namesEvery)
		check("found", []string{"carrier"}, []string{"numeric"})
		if got := at("192.0.2.1:5060"); got != nil {
			t.Errorf("our own address belongs to %v", got)
		}
		a, other := netip.MustParseAddr("198.51.100.81"), netip.MustParseAddr("198.51.100.99")
		if !w.w.Owns("carrier", a) || w.w.Owns("numeric", a) || w.w.Owns("carrier", other) {
			t.Error("Owns is wrong")
		}
		if w.w.At(flow.TCP, netip.MustParseAddrPort(hopA)) != nil || at("198.51.100.81:5061") != nil {
			t.Error("another transport or port belongs to it, too")
		}
		w.with(func() { w.dns["gw.example"] = nil })
		time.Sleep(10 * time.Minute)
		check("the DNS is silent", []string{"carrier"}, []string{"numeric"})
		if n := w.logged("is not found"); n != 2 {
			t.Errorf("%d lines say that it is silent, want one each time:\n%s", n, w.log.String())
		}
		w.with(func() { w.dns["gw.example"], w.changes = []string{hopB}, 0 })
		time.Sleep(namesEvery)
		check("moved", nil, []string{"carrier", "numeric"})
		time.Sleep(10 * namesEvery)
		w.with(func() {
			if w.changes != 1 {
				t.Errorf("%d changes were told, want 1", w.changes)
			}
		})
		if got := fmt.Sprint(w.w.Hosts()); got != "[198.51.100.82]" {
			t.Errorf("Hosts() = %s", got)
		}
		w.w.Set(nil)
		check("no route any more", nil, nil)
	})
}

// TestWatcher_Set: a reload keeps what is known of hops that stay, and forgets the rest.
func TestWatcher_Set(t *testing.T) {
	inWorld(t, func(w *world) {
		w.set(hopA, 0)
		r := w.route("carrier", often, "sip:"+hopA, "sip:"+hopB)
		w.w.Set([]Route{r})
		time.Sleep(30 * time.Second)
		w.want("carrier", hopA, "", "down")
		w.w.Set([]Route{r})
		w.want("carrier", hopA, "", "down")
		r.Check.Interval = 20 * time.Second
		w.w.Set([]Route{r})
		w.want("carrier", hopA, "", "down")
		w.want("carrier", hopB, "", "up")
		w.w.Set([]Route{w.route("carrier", r.Check, "sip:"+hopB)})
		w.want("carrier", hopA, "", "unknown")
		w.want("carrier", hopB, "", "up")
		w.with(func() { w.asked = nil })
		w.w.Set([]Route{w.route("carrier", Check{}, "sip:"+hopB)})
		w.want("carrier", hopB, "", "unknown")
		time.Sleep(time.Minute)
		w.with(func() {
			if len(w.asked) > 0 {
				t.Errorf("asked although nobody wants it: %q", w.asked)
			}
		})
	})
}
