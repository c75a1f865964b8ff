package fastpath

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
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
	"reveille/push"
	"reveille/registrar"
	"reveille/usrloc"
)

// A pipeline is the way of a REGISTER from its bytes to the answer, with the
// Path or without.
type pipeline struct {
	t     testing.TB
	path  *Path // nil: without
	layer *transaction.Layer
	reg   *registrar.Registrar
	store *usrloc.Memory
	auth  *auth.Authenticator // nil: anybody may register
	out   []byte
	slow  bool

	mu      sync.Mutex // guards answers
	answers map[string][]string
}

// slowStore lets every Update wait, so that messages pile up behind it.
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

var nonceKey = []byte("0123456789abcdef")

func newPipeline(t testing.TB, with, slow, required bool) *pipeline {
	t.Helper()
	p := &pipeline{t: t, slow: slow, store: usrloc.NewMemory(usrloc.MemoryOptions{}), answers: map[string][]string{}}
	policy := registrar.DefaultPolicy("example.com")
	policy.Push.Waking, policy.Push.PURR = fcm{}, fcm{}
	var store usrloc.Store = p.store
	if slow {
		store = slowStore{p.store}
	}
	reg := prometheus.NewRegistry()
	var err error
	if p.reg, err = registrar.New(registrar.Options{Store: store, Policy: policy, Registerer: reg}); err != nil {
		t.Fatal(err)
	}
	if required {
		users, err := auth.NewUsers("example.com", []auth.Account{{Name: "u0", Password: "secret"}, {Name: "u1", Password: "secret"}})
		if err != nil {
			t.Fatal(err)
		}
		p.auth, err = auth.New(auth.Options{
			Source: users, Realm: "example.com", Domains: map[string]string{"example.com": ""}, NonceKey: nonceKey,
			Failures: auth.LimitOptions{Rate: 1e6, Burst: 1e6}, Registerer: reg,
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	p.layer = transaction.New(transaction.Options{Sender: p, User: p, Queues: 2})
	p.layer.Start()
	if with {
		p.path, err = New(Options{Registrar: p.reg, Store: p.store, Layer: p.layer, Gate: p, Post: p.Send, Registerer: reg})
		if err != nil {
			t.Fatal(err)
		}
	}
	return p
}

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

// receive is what the server's inlet does.
func (p *pipeline) receive(f flow.Flow, raw string) {
	b := []byte(raw)
	defer func() {
		for i := range b { // The reader's buffer is used again.
			b[i] = '#'
		}
	}()
	if p.path != nil {
		answer, mine := p.path.Try(f, b, p.out[:0])
		if p.out = answer; mine {
			if len(answer) > 0 {
				p.Send(f, answer)
			}
			return
		}
	}
	m, err := sipmsg.Parse(b, f.Remote)
	switch {
	case err == nil:
		p.layer.Receive(f, m)
	case m != nil:
		p.layer.Refuse(f, m, sipmsg.ErrorReply(err, ""))
	}
}

// Request implements transaction.User.
func (p *pipeline) Request(s *transaction.Server) {
	m := s.Message()
	uri := m.RequestURI()
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

// varying is what differs between two servers: tags, and the nonce of a challenge.
var varying = regexp.MustCompile(`(;tag=)[0-9a-f]{8,16}|nonce="[^"]*"`)

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
	text := varying.ReplaceAllString(string(wire), "$1")
	if p.slow {
		text = lifetimes.ReplaceAllString(text, "")
	}
	p.answers[callID] = append(p.answers[callID], f.String()+"\n"+text)
	return nil
}

// bindings is the content of the store, less the identities.
func (p *pipeline) bindings() string {
	var all []string
	recs, _, err := p.store.List(context.Background(), usrloc.Cursor{}, 1000)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, rec := range recs {
		for _, b := range rec.Bindings {
			b.ID = usrloc.BindingID{}
			if p.slow {
				for _, at := range [...]*time.Time{&b.Created, &b.Updated, &b.Expires, &b.RetainUntil, &b.RefreshAt} {
					*at = at.Truncate(time.Second)
				}
			}
			all = append(all, fmt.Sprintf("%s %+v", rec.AOR, b))
		}
	}
	slices.Sort(all)
	return strings.Join(all, "\n")
}

// counted are the metrics that both ways count alike.
func (p *pipeline) counted() (answered float64) {
	if p.path == nil {
		return 0
	}
	return testutil.ToFloat64(p.path.answered)
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
