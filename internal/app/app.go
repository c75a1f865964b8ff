package app

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"reveille/configs"
	"reveille/flow"
	"reveille/internal/admin"
	"reveille/internal/console"
	"reveille/internal/event"
	"reveille/internal/fastpath"
	"reveille/internal/guard"
	"reveille/internal/hep"
	"reveille/internal/mailbox"
	"reveille/internal/otlp"
	"reveille/internal/probe"
	"reveille/internal/proxy"
	"reveille/internal/qualify"
	"reveille/internal/regevent"
	"reveille/internal/resolve"
	"reveille/internal/rtpengine"
	"reveille/internal/timeline"
	"reveille/internal/tlscert"
	"reveille/internal/transaction"
	"reveille/internal/transport"
	"reveille/internal/trunk"
	"reveille/internal/wake"
	"reveille/purr"
	"reveille/push"
	"reveille/registrar"
	"reveille/usrloc"
)

// Options are what an App needs besides its configuration.
type Options struct {
	// Config is complete and checked, as configs.Load returns it.
	Config *configs.Config
	// Logger takes the log lines; nil discards.
	Logger *slog.Logger
	// Sink takes every event, besides the log; nil: nobody does.
	Sink event.Sink
	// EventLines takes events as lines of JSON if the log is to have them so
	// (events.log.format); nil: the log has its usual lines.
	EventLines io.Writer
	// Reload is what POST /v1/reload does: read the
	// configuration again and give it to Reload. Nil: there is no such call.
	Reload func(context.Context) (configs.Changes, error)
	// OnFailure is called when the store on disk failed and nothing more can be
	// promised; it should end the process. Nil: REGISTERs are refused from then
	// on.
	OnFailure func(error)
	// Network is where the sockets come from; nil means the machine's.
	Network transport.Network
	// Metrics is where metrics are counted and read from, with what the program
	// around the App may have put there; nil means a registry of its own. Two Apps
	// cannot share one.
	Metrics Metrics
}

// Metrics is a registry, such as a prometheus.Registry.
type Metrics interface {
	prometheus.Registerer
	prometheus.Gatherer
}

// An App is a server. Its methods are safe for concurrent use.
type App struct {
	log       *slog.Logger
	registry  Metrics
	sink      event.Sink
	events    audience
	store     usrloc.Store
	keys      *purr.Keyring
	pushes    *push.Dispatcher
	waker     *wake.Waker
	guard     *guard.Guard
	gate      *gate
	hooks     *hooks
	registrar *registrar.Registrar
	refresher *registrar.Refresher
	mailbox   *mailbox.Box // nil: no message is kept
	proxy     *proxy.Proxy
	notifier  *regevent.Notifier
	resolver  *resolve.Resolver
	engines   *rtpengine.Client // nil: there are none
	trunks    *trunk.Watcher
	prober    *probe.Prober
	spared    *spared
	qualifier *qualify.Qualifier // nil: nobody is asked
	layer     *transaction.Layer
	transport *transport.Transport
	traces    *traces
	collector *hep.Exporter  // nil: there is none
	spans     *otlp.Exporter // nil: nobody is told
	timeline  *timeline.Timeline
	began     time.Time
	certs     certificates
	ends      atomic.Pointer[[]credentialEnd]
	admin     *admin.Server
	signOn    atomic.Pointer[console.SignOn] // how people log in to the console at a provider; nil: they do not
	audit     audit
	counter   counter
	loads     *configState
	backups   turn

	ready atomic.Bool
	// background ends with stopped; running waits for what runs in it.
	background context.Context
	running    sync.WaitGroup

	mu      sync.Mutex // guards the fields below
	config  *configs.Config
	senders *senders
	// certMarks are hashes of the files of listeners as they are in force.
	certMarks map[string][sha256.Size]byte
	cleanups  []cleanup // run last in, first out
	stopped   bool

	// released is closed when the first Stop has run all cleanups.
	released chan struct{}
}

// A cleanup undoes one step of New or Start.
type cleanup struct {
	name string
	fn   func(context.Context) error
}

// errNotReady is what /readyz says while the server starts or stops.
var errNotReady = errors.New("not serving")

// New builds the server and binds its sockets. If it fails, nothing stays
// behind.
func New(o Options) (_ *App, err error) {
	if o.Config == nil {
		return nil, errors.New("app: Config is required")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Metrics == nil {
		o.Metrics = prometheus.NewRegistry()
	}
	a := &App{log: o.Logger, config: o.Config, registry: o.Metrics, backups: make(turn, 1), released: make(chan struct{})}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.Stop(context.Background()))
		}
	}()
	a.loads = newConfigState(a.registry)
	a.registry.MustRegister(collectors.NewBuildInfoCollector(), collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	var stop context.CancelFunc
	a.background, stop = context.WithCancel(context.Background())
	a.onStop("background", func(context.Context) error {
		stop()
		a.running.Wait()
		return nil
	})
	if err := a.buildStore(o.OnFailure); err != nil {
		return nil, err
	}
	a.buildTimeline()
	if err := a.buildEvents(o.Sink, o.EventLines); err != nil {
		return nil, err
	}
	if err := a.buildMailbox(); err != nil {
		return nil, err
	}
	if err := a.buildPush(); err != nil {
		return nil, err
	}
	if err := a.buildSIP(o.Network); err != nil {
		return nil, err
	}
	if err := a.buildAdmin(o.Reload); err != nil {
		return nil, err
	}
	return a, nil
}

// buildPush makes what wakes phones.
func (a *App) buildPush() (err error) {
	cfg := a.config.Push
	if a.keys, err = loadKeys(sealing(a.config), time.Now()); err != nil {
		return err
	}
	senders, err := newSenders(a.background, cfg, nil)
	if err != nil {
		return err
	}
	senders.handTo(a.sink)
	a.useSenders(senders)
	a.registry.MustRegister(newCredentialExpiry(a.credentialEnds))
	a.pushes, err = push.NewDispatcher(push.Options{Apps: a.senders.apps(), Logger: a.component("push"), Registerer: a.registry})
	if err != nil {
		return errors.Join(err, a.senders.close())
	}
	a.onStop("push", a.pushes.Close)
	a.waker = wake.New(wake.Options{
		Dispatcher: a.pushes, Store: a.store, Sink: a.sink, Logger: a.component("wake"), Registerer: a.registry,
	})
	a.waker.Set(wakeSettings(cfg))
	o := registrar.RefresherOptions{
		Store: a.store, Waker: a.waker, WakeDormant: wakeDormant(cfg), Sink: a.sink, Logger: a.component("refresher"), Registerer: a.registry,
	}
	o.RetryMin, o.RetryMax, o.Retries = retries(cfg.Refresh)
	a.refresher, err = registrar.NewRefresher(o)
	return err
}

// buildSIP makes the way of a message through the server, from the top down:
// the sockets come last, and nothing is received before Start.
func (a *App) buildSIP(network transport.Network) (err error) {
	cfg := a.config
	if err := a.buildGuard(); err != nil {
		return err
	}
	in := &inlet{guard: a.guard, log: a.component("inlet"), metrics: newMetrics(a.registry), sink: a.sink}
	o := transportOptions(cfg)
	a.certMarks = markListeners(cfg) // before they are read, so that no change is missed
	if a.certs, err = newCertificates(cfg); err != nil {
		return err
	}
	a.certs.install(&o)
	a.registry.MustRegister(tlscert.NewExpiry(a.certSources))
	o.Network, o.Handler, o.Answerer, o.Logger, o.Registerer = network, in, in, a.component("transport"), a.registry
	o.Lost = in.lost
	if a.transport, err = transport.New(o); err != nil {
		return err
	}
	a.onStop("transport", a.transport.Stop)
	if err := a.buildTraces(); err != nil {
		return err
	}
	if err := a.buildHEP(); err != nil {
		return err
	}
	if err := a.buildResolver(); err != nil {
		return err
	}
	if err := a.buildTrunks(); err != nil {
		return err
	}
	if a.gate, err = newGate(cfg, a.transport, a.trunks, a.watched(), a.component("auth"), a.registry); err != nil {
		return err
	}
	a.onStop("gate", a.gate.stop)
	if a.hooks, err = newHooks(cfg, a.component("hook"), a.registry); err != nil {
		return err
	}
	a.onStop("hooks", a.hooks.close)
	if err := a.buildMedia(); err != nil {
		return err
	}
	policy, err := a.registrarPolicy(cfg)
	if err != nil {
		return err
	}
	hold := func(f flow.Flow, by usrloc.BindingID, until time.Time) {
		a.transport.Hold(f, transport.Holder(by), until)
	}
	a.registrar, err = registrar.New(registrar.Options{
		Store: a.store, Tokens: a.tokenIndex(), Policy: policy, Hold: hold, Sink: a.sink, Logger: a.component("registrar"), Registerer: a.registry,
	})
	if err != nil {
		return err
	}
	po, err := a.proxyOptions(cfg)
	if err != nil {
		return err
	}
	if a.proxy, err = proxy.New(po); err != nil {
		return err
	}
	if err := a.buildRegEvent(); err != nil {
		return err
	}
	a.layer = transaction.New(transaction.Options{
		Sender: a.transport, User: &user{app: a, metrics: in.metrics}, MaxTransactions: cfg.Limits.Transactions,
		TimerC: cfg.Proxy.TimerC, Overload: transaction.Overload{Target: cfg.Overload.Target, Interval: cfg.Overload.Interval},
		RetryAfter: cfg.Overload.RetryAfter, Spare: a.spares, Refused: a.overloaded, Logger: a.component("transaction"), Registerer: a.registry,
	})
	in.layer, in.refused, a.prober.Layer = a.layer, a.proxy.Refused, a.layer
	a.trunks.Set(trunkRoutes(cfg, po.Routes))
	if err := a.buildQualifier(); err != nil {
		return err
	}
	return a.buildFastpath(in)
}

// buildFastpath lets in answer plain refreshes, if the store can change a
// binding in place.
func (a *App) buildFastpath(in *inlet) (err error) {
	store, ok := a.store.(registrar.Toucher)
	if !ok || !a.config.Registrar.Fastpath {
		return nil
	}
	in.fast, err = fastpath.New(fastpath.Options{
		Registrar: a.registrar, Store: store, Layer: a.layer, Gate: a.gate, Limit: a.registers, Post: a.transport.Post,
		Registerer: a.registry,
	})
	return err
}

func (a *App) component(name string) *slog.Logger { return a.log.With("component", name) }

// onStop registers what undoes the step just taken. It is called by New and
// Start only.
func (a *App) onStop(name string, fn func(context.Context) error) {
	a.cleanups = append(a.cleanups, cleanup{name, fn})
}

// Start begins to serve. It is called once.
func (a *App) Start() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.stopped {
		return errors.New("app: stopped")
	}
	a.layer.Start()
	// Requests under way end, with their answers sent, before the sockets do.
	a.onStop("transactions", a.endRequests)
	a.trunks.Start()
	a.onStop("trunks", a.trunks.Stop)
	a.running.Go(func() { a.refresher.Run(a.background) })
	a.running.Go(func() { a.guard.Run(a.background) })
	a.running.Go(func() { a.traces.hub.Run(a.background) })
	a.startHEP()
	if a.qualifier != nil {
		a.running.Go(func() { a.qualifier.Run(a.background) })
	}
	if a.engines != nil {
		a.running.Go(func() { a.engines.Run(a.background) })
	}
	keyFile := string(sealing(a.config).KeyFile)
	a.running.Go(func() { a.rotateKeys(a.background, keyFile) })
	a.running.Go(func() { watchExpiry(a.background, a.certSources, a.component("tls")) })
	a.running.Go(func() { a.watchCredentials(a.background) })
	a.running.Go(func() { a.watchFiles(a.background) })
	if a.admin != nil {
		a.admin.Start()
	}
	a.transport.Start()
	a.startMailbox()
	a.ready.Store(true)
	return nil
}

// rotateKeys changes the sealing key daily. Without a file only the memory of
// this process holds the keys.
func (a *App) rotateKeys(ctx context.Context, file string) {
	var save func([]purr.Key) error
	if file != "" {
		save = func(keys []purr.Key) error { return purr.Save(file, keys) }
	}
	if err := (purr.Schedule{}).Run(ctx, a.keys, save, a.component("purr")); !errors.Is(err, context.Canceled) {
		a.log.Error("change the sealing keys", "err", err)
	}
}

func (a *App) readiness() error {
	if a.ready.Load() {
		return nil
	}
	return errNotReady
}

// Stop refuses new work, lets requests under way finish until ctx ends, and
// releases everything. It may be called again and from any goroutine: later
// calls wait for the first, which alone returns what went wrong.
func (a *App) Stop(ctx context.Context) error {
	a.mu.Lock()
	if a.stopped {
		a.mu.Unlock()
		select {
		case <-a.released:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	a.stopped = true
	defer close(a.released)
	cleanups := a.cleanups
	a.mu.Unlock()
	a.ready.Store(false)
	var errs []error
	for _, c := range slices.Backward(cleanups) {
		if err := c.fn(ctx); err != nil {
			errs = append(errs, fmt.Errorf("stop %s: %w", c.name, err))
		}
	}
	return errors.Join(errs...)
}

// Addr returns the bound address of the SIP listener with that name, nil if
// there is none.
func (a *App) Addr(listener string) net.Addr { return a.transport.Addr(listener) }

// HTTPAddr returns the bound address of the HTTP listener, nil if there is none.
func (a *App) HTTPAddr() net.Addr {
	if a.admin == nil {
		return nil
	}
	return a.admin.Addr()
}

// Parked returns how many requests wait for a phone at this moment.
func (a *App) Parked() int { return a.proxy.Parked() }

// Store is the location service.
func (a *App) Store() usrloc.Store { return a.store }
