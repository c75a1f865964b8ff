package fastpath

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"net/netip"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"reveille/flow"
	"reveille/internal/auth"
	"reveille/internal/sipmsg"
	"reveille/internal/transaction"
	"reveille/purr"
	"reveille/push"
	"reveille/registrar"
	"reveille/usrloc"
	"reveille/usrloc/usrloctest"
)

// A pipeline is the way of a REGISTER from its bytes to the answer, with the
// Path or without.
type pipeline struct {
	t        testing.TB
	setup    setup
	path     *Path // nil: without
	layer    *transaction.Layer
	reg      *registrar.Registrar
	store    *usrloc.Memory
	auth     *auth.Authenticator // nil: anybody may register
	registry *prometheus.Registry

	mu      sync.Mutex // guards what follows
	answers map[string][]string
	several int // answers of the Path that list several bindings
}

// A setup is a kind of pipeline.
type setup struct {
	with     bool // with the Path
	required bool // who registers must be a user
	calls    bool // OPTIONS and INVITE are answered, too
	loose    bool // time is real: two pipelines do not do the same at the same time
	store    storeKind
	// committer makes changes durable, nil if memory is enough.
	committer usrloc.Committer
	// touch is asked in place of the store, nil for none.
	touch func(*usrloc.Memory) registrar.Toucher
}

// A storeKind says how long a change takes.
type storeKind uint8

const (
	atOnce storeKind = iota
	// slowly: every Update waits before it begins, so that messages pile up.
	slowly
	// late: what is changed is durable some time later.
	late
)

// slowStore lets every Update wait.
type slowStore struct{ *usrloc.Memory }

const slowness = 10 * time.Millisecond

func (s slowStore) Update(ctx context.Context, aor usrloc.AOR, fn func(usrloc.Record) (usrloc.Record, error), done func(usrloc.Record, []usrloc.Change, error)) {
	time.AfterFunc(slowness, func() { s.Memory.Update(ctx, aor, fn, done) })
}

type fcm struct{}

func (fcm) Supports(p push.Params) bool                      { return p.Provider == "fcm" }
func (fcm) Providers() []string                              { return []string{"fcm"} }
func (fcm) VAPIDKey(push.Params) string                      { return "" }
func (fcm) AppendMint(dst []byte, _ usrloc.BindingID) []byte { return append(dst, "purr"...) }

// fixedGRUU makes one temporary GRUU of each set only, so that answers can be
// compared; loose means that sets may begin at another time.
type fixedGRUU struct{ loose bool }

func (g fixedGRUU) AppendTempGRUU(dst []byte, user string, b *usrloc.Binding) []byte {
	dst = append(append(append(append(dst, "temp-"...), user...), '-'), b.Instance...)
	if g.loose {
		return dst
	}
	return strconv.AppendUint(append(dst, '-'), b.GRUUSet, 10)
}

func (fixedGRUU) OpenTempGRUU(string) (purr.TempGRUU, error) { return purr.TempGRUU{}, purr.ErrToken }

var nonceKey = []byte("0123456789abcdef")

// newIdle makes a pipeline without a store, to be built.
func newIdle(t testing.TB, o setup) *pipeline {
	return &pipeline{t: t, setup: o, answers: map[string][]string{}, registry: prometheus.NewRegistry()}
}

// newPipeline makes a pipeline with a store in memory.
func newPipeline(t testing.TB, o setup) *pipeline {
	t.Helper()
	p := newIdle(t, o)
	if o.store == late && o.committer == nil {
		o.committer = usrloctest.NewLateRefreshCommitter(1)
	}
	p.store = usrloc.NewMemory(usrloc.MemoryOptions{Committer: o.committer, Shards: 2, Registerer: p.registry})
	var store usrloc.Store = p.store
	if o.store == slowly {
		store = slowStore{p.store}
	}
	var touch registrar.Toucher = p.store
	if o.touch != nil {
		touch = o.touch(p.store)
	}
	p.build(store, touch)
	return p
}

// build makes what stands before the stores, which are one: store is asked on
// the long way, touch on the short one.
func (p *pipeline) build(store usrloc.Store, touch registrar.Toucher) {
	p.t.Helper()
	policy := registrar.DefaultPolicy("example.com")
	policy.Push.Waking, policy.Push.PURR = fcm{}, fcm{}
	policy.GRUU, policy.ReceivedParam = fixedGRUU{p.setup.loose || p.setup.store != atOnce}, "received"
	var err error
	if p.reg, err = registrar.New(registrar.Options{Store: store, Policy: policy, Registerer: p.registry}); err != nil {
		p.t.Fatal(err)
	}
	if p.setup.required {
		users, err := auth.NewUsers("example.com", []auth.Account{{Name: "u0", Password: "secret"}, {Name: "u1", Password: "secret"}})
		if err != nil {
			p.t.Fatal(err)
		}
		p.auth, err = auth.New(auth.Options{
			Source: users, Realm: "example.com", Domains: map[string]string{"example.com": ""}, NonceKey: nonceKey,
			Failures: auth.LimitOptions{Rate: 1e6, Burst: 1e6}, Registerer: p.registry,
		})
		if err != nil {
			p.t.Fatal(err)
		}
	}
	p.layer = transaction.New(transaction.Options{Sender: p, User: p, Queues: 2, Registerer: p.registry})
	p.layer.Start()
	if p.setup.with {
		p.path, err = New(Options{Registrar: p.reg, Store: touch, Layer: p.layer, Gate: p, Post: p.post, Registerer: p.registry})
		if err != nil {
			p.t.Fatal(err)
		}
	}
}

// settlePolicy waits: what is accepted in the millisecond in which a policy comes
// into force counts as accepted before, and takes the long way.
func settlePolicy() { <-time.After(10 * time.Millisecond) }

func (p *pipeline) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := p.layer.Stop(ctx); err != nil {
		p.t.Error(err)
	}
}

// Served implements Gate.
func (p *pipeline) Served(uri *sipmsg.URI) bool {
	return uri.IsSIP() && strings.EqualFold(uri.Host, "example.com")
}

// Doorman implements Gate.
func (p *pipeline) Doorman(flow.Flow) (*auth.Authenticator, bool) { return p.auth, true }

// receive is what the server's inlet does. It returns the message if that took
// the long way.
func (p *pipeline) receive(f flow.Flow, raw string) (long *sipmsg.Message) {
	b := []byte(raw)
	defer func() {
		for i := range b { // The reader's buffer is used again.
			b[i] = '#'
		}
	}()
	if p.path != nil {
		if answer, mine := p.path.Try(f, b, nil); mine {
			if len(answer) > 0 {
				p.post(f, answer)
			}
			return nil
		}
	}
	m, err := sipmsg.Parse(b, f.Remote)
	switch {
	case err == nil:
		p.layer.Receive(f, m)
		return m
	case m != nil:
		p.layer.Refuse(f, m, sipmsg.ErrorReply(err, ""))
	}
	return nil
}

// post sends an answer of the Path.
func (p *pipeline) post(f flow.Flow, wire []byte) error {
	if strings.Count(string(wire), "\r\nContact: ") > 1 {
		p.mu.Lock()
		p.several++
		p.mu.Unlock()
	}
	return p.Send(f, wire)
}

// handle gives a message to p and waits until p is done with it.
func (p *pipeline) handle(f flow.Flow, raw string) {
	if m := p.receive(f, raw); m != nil {
		p.awaitLong(m)
	}
	p.awaitStore()
}

func (p *pipeline) awaitLong(m *sipmsg.Message) {
	to := m.To()
	for p.layer.Busy(m.CallID(), &to.URI) {
		runtime.Gosched()
	}
}

func (p *pipeline) awaitStore() {
	for p.store.Stats().Pending != 0 {
		runtime.Gosched()
	}
}

// Request implements transaction.User.
func (p *pipeline) Request(s *transaction.Server) {
	m := s.Message()
	uri := m.RequestURI()
	switch {
	case p.setup.calls && m.Method() == "OPTIONS":
		s.Refuse(sipmsg.Reply{Code: 200})
		return
	case p.setup.calls && m.Method() == "INVITE":
		// It waits for a phone, in vain.
		resume := s.Suspend()
		time.AfterFunc(slowness, func() { resume(func() { s.Reply(sipmsg.Reply{Code: 480}) }) })
		return
	}
	if m.Method() != "REGISTER" || len(m.Routes()) > 0 || !p.Served(&uri) {
		s.Refuse(sipmsg.Reply{Code: 403})
		return
	}
	if p.auth == nil {
		p.reg.Serve(s, nil)
		return
	}
	d := p.auth.Check(context.Background(), m, s.Flow(), auth.Registrar, time.Now())
	if d.Outcome != auth.Allowed {
		s.Refuse(d.Reply)
		return
	}
	p.reg.Serve(s, func(aor usrloc.AOR) bool { return p.auth.Authorize(d, aor, "REGISTER", s.Flow()) == nil })
}

// Ack implements transaction.User.
func (p *pipeline) Ack(*transaction.Queue, flow.Flow, *sipmsg.Message) {}

// Cancel implements transaction.User.
func (p *pipeline) Cancel(*transaction.Server, *sipmsg.Message) {}

// Stray implements transaction.User.
func (p *pipeline) Stray(flow.Flow, *sipmsg.Message) {}

// same takes out of an answer what differs between two servers: the tags that they
// give, and the nonce of a challenge.
func same(answer string) string {
	for _, mark := range [...]string{";tag=", `nonce="`} {
		before, rest, found := strings.Cut(answer, mark)
		if !found {
			continue
		}
		var b strings.Builder
		for found {
			b.WriteString(before)
			b.WriteString(mark)
			before, rest, found = strings.Cut(rest[strings.IndexAny(rest+";", ";\r\n\""):], mark)
		}
		b.WriteString(before)
		answer = b.String()
	}
	return answer
}

// lifetimes are what else differs if the store is slow: what waits behind a
// message that was answered in place waits less, and counts from another moment.
var lifetimes = regexp.MustCompile(`;expires=\d+`)

// Send implements transaction.Sender.
func (p *pipeline) Send(f flow.Flow, wire []byte) error {
	// The answer to what is damaged repeats the damage and cannot be read.
	callID := ""
	if m, err := sipmsg.Parse(wire, f.Remote); err == nil {
		callID = m.CallID()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	text := same(string(wire))
	if before, rest, dated := strings.Cut(text, "\r\nDate: "); dated && p.setup.loose {
		text = before + rest[strings.Index(rest, "\r\n"):]
	}
	if p.setup.store != atOnce {
		text = lifetimes.ReplaceAllString(text, "")
	}
	p.answers[callID] = append(p.answers[callID], f.String()+"\n"+text)
	return nil
}

// A held is a binding in the store, and whose it is.
type held struct {
	AOR     usrloc.AOR
	Binding usrloc.Binding
}

// bindings is the content of the store, less the identities.
func (p *pipeline) bindings() []held {
	var all []held
	recs, _, err := p.store.List(context.Background(), usrloc.Cursor{}, 1000)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, rec := range recs {
		for _, b := range rec.Bindings {
			b.ID = usrloc.BindingID{}
			if p.setup.loose || p.setup.store != atOnce {
				// When it came is not the same, how long it lasts is.
				for _, at := range [...]*time.Time{&b.Expires, &b.RetainUntil, &b.RefreshAt} {
					if !at.IsZero() {
						*at = time.Time{}.Add(at.Sub(b.Updated))
					}
				}
				b.Created, b.Updated, b.GRUUSet = time.Time{}, time.Time{}, 0
			}
			all = append(all, held{rec.AOR, b})
		}
	}
	slices.SortStableFunc(all, func(a, b held) int { return strings.Compare(string(a.AOR), string(b.AOR)) })
	return all
}

// inPlace counts what the Path took.
func (p *pipeline) inPlace() float64 {
	if p.path == nil {
		return 0
	}
	return testutil.ToFloat64(p.path.answered)
}

// counters are all that was counted, less what the Path counts for itself.
func (p *pipeline) counters() map[string]float64 {
	families, err := p.registry.Gather()
	if err != nil {
		p.t.Fatal(err)
	}
	all := map[string]float64{}
	for _, family := range families {
		if strings.HasPrefix(family.GetName(), "reveille_fastpath_") {
			continue
		}
		for _, m := range family.GetMetric() {
			if m.Counter != nil && m.Counter.GetValue() != 0 {
				all[family.GetName()+fmt.Sprint(m.GetLabel())] = m.Counter.GetValue()
			}
		}
	}
	return all
}

// credentials answers a challenge with RFC 2617's MD5, for a nonce and its nc.
func credentials(user, password, nonce string, nc uint32) string {
	h := func(s string) string { sum := md5.Sum([]byte(s)); return hex.EncodeToString(sum[:]) }
	count := fmt.Sprintf("%08x", nc)
	response := h(auth.MD5.HA1(user, "example.com", password) + ":" + nonce + ":" + count + ":c:auth:" + h("REGISTER:sip:example.com"))
	return fmt.Sprintf(`Authorization: Digest username=%q, realm="example.com", nonce=%q, uri="sip:example.com", qop=auth, nc=%s, cnonce="c", algorithm=MD5, response=%q`,
		user, nonce, count, response)
}

func flowOf(port uint16) flow.Flow {
	return flow.Flow{Listener: "udp", Transport: flow.UDP, Remote: netip.AddrPortFrom(netip.MustParseAddr("192.0.2.9"), port)}
}

// streamOf is a connection.
func streamOf(port uint16) flow.Flow {
	f := flowOf(port)
	f.Listener, f.Transport, f.Incarnation, f.Conn = "tcp", flow.TCP, 1, uint64(port)
	return f
}

// A register is a REGISTER to be written.
type register struct {
	user, callID, contact string
	cseq                  int
	more                  []string
}

const plainPhone = `<sip:%s@192.0.2.9:5060;pn-provider=fcm;pn-param=proj;pn-prid=token-%s>;+sip.instance="<urn:x:%s>";reg-id=1;expires=3600`

func phoneOf(user string) string { return fmt.Sprintf(plainPhone, user, user, user) }

func (r register) String() string {
	lines := append([]string{
		"REGISTER sip:example.com SIP/2.0", fmt.Sprintf("Via: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bK%s.%d;rport", r.callID, r.cseq), "Max-Forwards: 70",
		"From: <sip:" + r.user + "@example.com>;tag=f", "To: <sip:" + r.user + "@example.com>", "Call-ID: " + r.callID,
		fmt.Sprintf("CSeq: %d REGISTER", r.cseq), "Contact: " + r.contact, "User-Agent: phone/1",
	}, r.more...)
	return strings.Join(lines, "\r\n") + "\r\nContent-Length: 0\r\n\r\n"
}
