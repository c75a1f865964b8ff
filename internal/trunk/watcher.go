package trunk

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"reveille/flow"
	"reveille/internal/probe"
	"reveille/internal/resolve"
)

// A Resolver looks names up; *resolve.Resolver implements it.
type Resolver interface {
	// Resolve calls done once, with at least one hop or an error, no later than ctx ends.
	Resolve(ctx context.Context, t resolve.Target, done func([]resolve.Hop, error))
}

// Flows are the transports; *transport.Transport implements it.
type Flows interface {
	// ConnectTo finds or makes a flow to remote; done runs once, on any goroutine.
	ConnectTo(t flow.Transport, name string, remote netip.AddrPort, done func(flow.Flow, error))
	// IsOwn reports whether host and port are an address of ours for t.
	IsOwn(host string, port uint16, t flow.Transport) bool
}

// A Route is what is watched for one route.
type Route struct {
	Name    string
	Targets []resolve.Target
	Check   Check
}

// Options are what a Watcher needs. The first three are required.
type Options struct {
	Resolver Resolver
	Flows    Flows
	Prober   *probe.Prober
	// Changed is called after the addresses of a route have changed, on any goroutine and
	// under no lock; nil: nobody wants to know.
	Changed func()
	// Logger may be nil.
	Logger *slog.Logger
	// Registerer takes the metrics; nil: none.
	Registerer prometheus.Registerer
}

// A Watcher watches next hops. Its methods are safe for concurrent use.
type Watcher struct {
	o       Options
	metrics *metrics
	// known is replaced whole when an address comes or goes.
	known atomic.Pointer[index]

	ctx     context.Context // ends with Stop
	cancel  context.CancelFunc
	running sync.WaitGroup // the goroutines of watches

	mu      sync.Mutex // guards what follows, and everything in the watches
	started bool
	watches map[watchKey]*watch
}

// New returns a Watcher that watches nothing. Set tells it what, and Start begins.
func New(o Options) (*Watcher, error) {
	if o.Resolver == nil || o.Flows == nil || o.Prober == nil {
		return nil, errors.New("trunk: Resolver, Flows and Prober are required")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Changed == nil {
		o.Changed = func() {}
	}
	w := &Watcher{o: o, watches: map[watchKey]*watch{}}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	w.known.Store(&index{})
	w.metrics = newMetrics(o.Registerer, w)
	return w, nil
}

// Set says what is watched from now on. What is known of hops that stay is kept.
func (w *Watcher) Set(routes []Route) {
	w.mu.Lock()
	old := w.watches
	w.watches = map[watchKey]*watch{}
	for _, r := range routes {
		for _, t := range r.Targets {
			key := watchKey{r.Name, t}
			if w.watches[key] != nil {
				continue // A next hop may be written twice, with two priorities.
			}
			x := old[key]
			if x == nil || !x.check.equal(r.Check) {
				x = w.successor(key, r.Check, x)
			}
			w.watches[key] = x
		}
	}
	for key, x := range old {
		if w.watches[key] != x {
			x.end()
		}
	}
	w.index()
	w.mu.Unlock()
	w.o.Changed()
}

// Start begins to look up and to ask.
func (w *Watcher) Start() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.started = true
	for _, x := range w.watches {
		w.begin(x)
	}
}

// Stop ends that and gives up what is waited for, so that the transactions can be stopped
// without delay.
func (w *Watcher) Stop(context.Context) error {
	w.cancel()
	w.mu.Lock()
	w.started = false
	for _, x := range w.watches {
		x.end()
	}
	w.mu.Unlock()
	w.running.Wait()
	return nil
}

// begin starts the goroutine of a watch, if it needs one. The caller holds mu.
func (w *Watcher) begin(x *watch) {
	_, numeric := x.target.Hop()
	if !w.started || numeric && x.check.Interval == 0 {
		return
	}
	// The end of x.ctx ends it, and Stop waits for it.
	w.running.Go(x.run)
}

// Checked says what OPTIONS to a hop of a route last came to: whether it counts as up, and
// when the last one that was answered was sent. ok is false if that is not known.
func (w *Watcher) Checked(route string, h resolve.Hop) (up bool, asked time.Time, ok bool) {
	s := w.known.Load().asked[routeHop{route, normal(h)}]
	if s == nil {
		return false, time.Time{}, false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return s.up, s.asked, s.known
}

// At names the routes of which a next hop has an address, in the order of the alphabet.
// The list is not to be changed.
func (w *Watcher) At(t flow.Transport, a netip.AddrPort) []string {
	return w.known.Load().places[place{t, netip.AddrPortFrom(a.Addr().Unmap(), a.Port())}]
}

// Owns reports whether a next hop of a route has that IP address, at whatever port.
func (w *Watcher) Owns(route string, a netip.Addr) bool {
	return slices.Contains(w.known.Load().hosts[a.Unmap()], route)
}

// Hosts returns the IP addresses of all next hops.
func (w *Watcher) Hosts() []netip.Addr {
	return slices.SortedFunc(maps.Keys(w.known.Load().hosts), netip.Addr.Compare)
}

// An index tells to which routes an address belongs. It is not changed once it is in use.
type index struct {
	places map[place][]string
	hosts  map[netip.Addr][]string
	// asked are the hops that get OPTIONS. The states are guarded by Watcher.mu.
	asked map[routeHop]*state
}

type routeHop struct {
	route string
	hop   resolve.Hop
}

type place struct {
	transport flow.Transport
	addr      netip.AddrPort
}

// index makes known what the watches have found. The caller holds mu.
func (w *Watcher) index() {
	n := &index{places: map[place][]string{}, hosts: map[netip.Addr][]string{}, asked: map[routeHop]*state{}}
	add := func(list []string, route string) []string {
		if slices.Contains(list, route) {
			return list
		}
		list = append(list, route)
		slices.Sort(list)
		return list
	}
	for key, x := range w.watches {
		for h, s := range x.hops {
			if x.check.Interval > 0 {
				n.asked[routeHop{key.route, h}] = s
			}
			at, host := place{h.Transport, h.Addr}, h.Addr.Addr()
			n.places[at] = add(n.places[at], key.route)
			n.hosts[host] = add(n.hosts[host], key.route)
		}
	}
	w.known.Store(n)
}
