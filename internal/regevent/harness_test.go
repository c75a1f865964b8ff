package regevent

import (
	"context"
	"crypto/rand"
	"encoding/xml"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"reveille/flow"
	"reveille/internal/domain"
	"reveille/internal/sipmsg"
	"reveille/internal/transaction"
	"reveille/purr"
	"reveille/usrloc"
)

const (
	alice = usrloc.AOR("sip:alice@example.com")
	bob   = usrloc.AOR("sip:bob@example.com")
)

// A world is a Notifier on a real transaction layer and location service, with
// pretend flows, inside a synctest bubble.
type world struct {
	t        *testing.T
	store    *usrloc.Memory
	layer    *transaction.Layer
	n        *Notifier
	settings Settings
	// sender is who sends SUBSCRIBEs; lookedUp runs while that is found out.
	sender   Sender
	lookedUp func()

	mu    sync.Mutex
	sent  []sent
	dead  map[flow.Flow]bool // not alive, and a connection that is closed
	mute  map[flow.Flow]bool // every Send fails
	dials []string
	watch int
}

type sent struct {
	flow flow.Flow
	m    *sipmsg.Message
}

func inWorld(t *testing.T, fn func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		hosts, err := domain.New([]domain.Domain{{Name: "example.com"}}, false)
		if err != nil {
			t.Fatal(err)
		}
		w := &world{t: t, store: usrloc.NewMemory(usrloc.MemoryOptions{}), dead: map[flow.Flow]bool{}, mute: map[flow.Flow]bool{}, sender: Sender{User: alice}}
		w.settings = Settings{
			Enabled: true, Hosts: hosts, Known: func(a usrloc.AOR) bool { return a == alice || a == bob },
			Default: 3761 * time.Second, Min: time.Minute, Max: 2 * time.Hour, Interval: 5 * time.Second, Refreshes: true,
			MaxSubscriptions: 5, MaxPerUser: 3, RetryAfter: 10 * time.Second, GRUU: purr.Generate(time.Now()),
		}
		w.n, err = New(Options{Store: watched{w.store, w}, Ways: w, Flows: w, Settings: w.settings, Registerer: prometheus.NewRegistry()})
		if err != nil {
			t.Fatal(err)
		}
		w.layer = transaction.New(transaction.Options{Sender: w, User: user{w}, Queues: 2, Logger: slog.New(alarm{t})})
		w.layer.Start()
		defer func() {
			ended, cancel := context.WithCancel(context.Background())
			cancel()
			_ = w.layer.Stop(ended)
		}()
		fn(w)
		// When every subscription has ended nothing is left.
		time.Sleep(3 * time.Hour)
		synctest.Wait()
		if w.n.Subscriptions() != 0 || len(w.n.users) != 0 || w.watch != 0 {
			t.Errorf("left behind: %d subscriptions, %v by user, %d watches", w.n.Subscriptions(), w.n.users, w.watch)
		}
		w.n.lanes.Range(func(_, l any) bool {
			if n := len(l.(*lane).subscriptions); n != 0 {
				t.Errorf("%d subscriptions left in a lane", n)
			}
			return true
		})
	})
}

// alarm is a log handler: the transaction layer catches panics and logs them.
type alarm struct{ t *testing.T }

func (alarm) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelError }
func (a alarm) WithAttrs([]slog.Attr) slog.Handler         { return a }
func (a alarm) WithGroup(string) slog.Handler              { return a }
func (a alarm) Handle(_ context.Context, r slog.Record) error {
	text := r.Message
	r.Attrs(func(at slog.Attr) bool { text += "\n" + at.String(); return true })
	a.t.Error(text)
	return nil
}

// user is the transaction user, as internal/app is.
type user struct{ w *world }

func (u user) Request(s *transaction.Server) {
	if !u.w.n.Takes(s.Message()) {
		s.Refuse(sipmsg.Reply{Code: 489})
		return
	}
	if u.w.lookedUp != nil {
		u.w.lookedUp()
	}
	u.w.n.Serve(s, u.w.sender)
}
func (user) Ack(*transaction.Queue, flow.Flow, *sipmsg.Message)     {}
func (user) Cancel(*transaction.Server, *sipmsg.Message)            {}
func (user) Stray(flow.Flow, *sipmsg.Message)                       {}
func (w *world) Contact(flow.Flow) string                           { return "sip:192.0.2.1:5060" }
func (w *world) IsOwn(host string, _ uint16, _ flow.Transport) bool { return host == "192.0.2.1" }

func (w *world) Via(f flow.Flow, branch string) string {
	return "SIP/2.0/" + f.Transport.String() + " 192.0.2.1:5060;branch=" + branch
}

// Phone implements Ways as the proxy does, for phones that sent on their own flow.
func (w *world) Phone(m *sipmsg.Message, user usrloc.AOR, from flow.Flow) (usrloc.AOR, usrloc.BindingID) {
	if user == "" {
		user = usrloc.AOR(m.From().URI.String())
	}
	rec, _ := w.store.Get(context.Background(), user)
	for _, b := range rec.Bindings {
		if b.Flow == from {
			return user, b.ID
		}
	}
	return "", usrloc.BindingID{}
}

func (w *world) Way(b *usrloc.Binding) (flow.Flow, string, bool) {
	return b.Flow, "", w.Alive(b.Flow, time.Now())
}

func (w *world) Connect(u sipmsg.URI, done func(flow.Flow, error)) {
	w.mu.Lock()
	w.dials = append(w.dials, u.Host)
	w.mu.Unlock()
	addr, ok := u.HostAddr()
	if !ok {
		done(flow.Flow{}, fmt.Errorf("no such host %s", u.Host))
		return
	}
	done(flow.Flow{Listener: "main", Transport: flow.UDP, Remote: netip.AddrPortFrom(addr, 5060)}, nil)
}

func (w *world) Alive(f flow.Flow, _ time.Time) bool { return w.Open(f) }

func (w *world) Open(f flow.Flow) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.dead[f]
}

func (w *world) Send(f flow.Flow, b []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.mute[f] {
		return fmt.Errorf("flow is dead")
	}
	m, err := sipmsg.Parse(b, netip.AddrPort{})
	if err != nil {
		w.t.Errorf("sent what does not parse: %v\n%s", err, b)
		return nil
	}
	w.sent = append(w.sent, sent{f, m})
	return nil
}

// watched counts the watches that nobody has cancelled.
type watched struct {
	*usrloc.Memory
	w *world
}

func (s watched) Watch(ctx context.Context, aor usrloc.AOR, until time.Time, changed func(usrloc.Change)) (usrloc.Record, func(), error) {
	rec, cancel, err := s.Memory.Watch(ctx, aor, until, changed)
	if err != nil {
		return rec, cancel, err
	}
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	s.w.watch++
	return rec, func() {
		cancel()
		s.w.mu.Lock()
		defer s.w.mu.Unlock()
		s.w.watch--
	}, nil
}

func udp(addr string) flow.Flow {
	return flow.Flow{Listener: "main", Transport: flow.UDP, Remote: netip.MustParseAddrPort(addr)}
}

func tcp(addr string, conn uint64) flow.Flow {
	return flow.Flow{Listener: "main", Transport: flow.TCP, Remote: netip.MustParseAddrPort(addr), Conn: conn}
}

// binding returns a new binding of aor.
func (w *world) binding(aor usrloc.AOR, f flow.Flow) usrloc.Binding {
	w.t.Helper()
	id, err := usrloc.NewBindingID(aor, rand.Reader)
	if err != nil {
		w.t.Fatal(err)
	}
	user, _, _ := strings.Cut(strings.TrimPrefix(string(aor), "sip:"), "@")
	now := time.Now()
	return usrloc.Binding{
		ID: id, Contact: "sip:" + user + "@" + f.Remote.String() + ";pn-provider=fcm;pn-param=project;pn-prid=SECRET-TOKEN-1", Params: ";+sip.instance=\"<urn:x:1>\"",
		Q: usrloc.QUnset, CallID: "register", CSeq: 1, Created: now, Updated: now, Expires: now.Add(time.Hour), RetainUntil: now.Add(time.Hour),
		Flow: f, Instance: "urn:x:1", Push: usrloc.Push{Provider: "fcm", Param: "project", PRID: "SECRET-TOKEN-1"},
	}
}

// register stores a binding, in place of the one with its ID.
func (w *world) register(aor usrloc.AOR, b usrloc.Binding) { w.update(aor, usrloc.CauseRegister, b) }

func (w *world) update(aor usrloc.AOR, cause usrloc.Cause, b usrloc.Binding) {
	w.change(aor, cause, func(l []usrloc.Binding) []usrloc.Binding {
		l = slices.DeleteFunc(l, func(o usrloc.Binding) bool { return o.ID == b.ID })
		return append(l, b)
	})
}

// remove takes a binding away.
func (w *world) remove(aor usrloc.AOR, cause usrloc.Cause, b usrloc.Binding) {
	w.change(aor, cause, func(l []usrloc.Binding) []usrloc.Binding {
		return slices.DeleteFunc(l, func(o usrloc.Binding) bool { return o.ID == b.ID })
	})
}

func (w *world) change(aor usrloc.AOR, cause usrloc.Cause, fn func([]usrloc.Binding) []usrloc.Binding) {
	w.t.Helper()
	w.store.Update(context.Background(), aor, func(r usrloc.Record) (usrloc.Record, error) {
		r.Bindings, r.Cause = fn(slices.Clone(r.Bindings)), cause
		return r, nil
	}, func(_ usrloc.Record, _ []usrloc.Change, err error) {
		if err != nil {
			w.t.Errorf("Update = %v", err)
		}
	})
	time.Sleep(gather)
	synctest.Wait()
}

// subscriber is the address of who subscribes, unless a test says otherwise.
func subscriber() flow.Flow { return udp("198.51.100.9:5060") }

// subscribe is a SUBSCRIBE outside a dialog, with further header fields.
func subscribe(aor usrloc.AOR, callID string, seq int, headers ...string) string {
	has := func(name string) bool {
		return slices.ContainsFunc(headers, func(h string) bool { return strings.HasPrefix(h, name+":") })
	}
	for _, h := range []string{"Event: reg", "Contact: <sip:watcher@198.51.100.9:5060>", "To: <" + string(aor) + ">", "From: <" + string(alice) + ">;tag=f"} {
		if name, _, _ := strings.Cut(h, ":"); !has(name) {
			headers = append(headers, h)
		}
	}
	return fmt.Sprintf("SUBSCRIBE %s SIP/2.0\r\nVia: SIP/2.0/UDP 198.51.100.9:5060;branch=z9hG4bK%s%d\r\nMax-Forwards: 70\r\nCall-ID: %s\r\nCSeq: %d SUBSCRIBE\r\n%s\r\nContent-Length: 0\r\n\r\n",
		aor, callID, seq, callID, seq, strings.Join(headers, "\r\n"))
}

// again is a SUBSCRIBE in the dialog that a 200 began.
func again(ok *sipmsg.Message, seq int, headers ...string) string {
	return subscribe("sip:192.0.2.1:5060", ok.CallID(), seq, append([]string{"To: " + ok.To().String(), "From: " + ok.From().String()}, headers...)...)
}

// recv has a message arrive and everything happen that follows at once.
func (w *world) recv(f flow.Flow, text string) {
	w.t.Helper()
	m, err := sipmsg.Parse([]byte(text), f.Remote)
	if err != nil {
		w.t.Fatalf("test message: %v\n%s", err, text)
	}
	w.layer.Receive(f, m)
	synctest.Wait()
}

// take returns what was sent since the last call.
func (w *world) take() []sent {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	list := w.sent
	w.sent = nil
	return list
}

// expect is take, of messages such as "200" or "NOTIFY", in this order.
func (w *world) expect(want ...string) []sent {
	w.t.Helper()
	list := w.take()
	var got []string
	for _, s := range list {
		if s.m.IsRequest() {
			got = append(got, s.m.Method())
		} else {
			got = append(got, fmt.Sprint(s.m.Status()))
		}
	}
	if !slices.Equal(got, want) {
		w.t.Fatalf("sent %v, want %v", got, want)
	}
	return list
}

// answer answers a NOTIFY.
func (w *world) answer(s sent, code int, headers ...sipmsg.HeaderField) {
	w.t.Helper()
	w.recv(s.flow, string(s.m.AppendReply(nil, sipmsg.Reply{Code: code, Headers: headers})))
}

// begin subscribes, answers the first NOTIFY and returns the 200 and that NOTIFY.
func (w *world) begin(f flow.Flow, text string) (ok *sipmsg.Message, notify sent) {
	w.t.Helper()
	w.recv(f, text)
	list := w.expect("200", "NOTIFY")
	w.answer(list[1], 200)
	return list[0].m, list[1]
}

// state is the Subscription-State of a NOTIFY.
func state(s sent) string {
	v, _ := s.m.Header(sipmsg.HdrSubscriptionState)
	return v
}

// A view is what a subscriber reads in a document.
type view struct {
	XMLName      xml.Name `xml:"urn:ietf:params:xml:ns:reginfo reginfo"`
	Version      uint32   `xml:"version,attr"`
	State        string   `xml:"state,attr"`
	Registration struct {
		AOR      string        `xml:"aor,attr"`
		ID       string        `xml:"id,attr"`
		State    string        `xml:"state,attr"`
		Contacts []viewContact `xml:"urn:ietf:params:xml:ns:reginfo contact"`
	} `xml:"urn:ietf:params:xml:ns:reginfo registration"`
}

type viewContact struct {
	ID       string   `xml:"id,attr"`
	State    string   `xml:"state,attr"`
	Event    string   `xml:"event,attr"`
	Duration *uint64  `xml:"duration-registered,attr"`
	Expires  *uint64  `xml:"expires,attr"`
	Q        string   `xml:"q,attr"`
	CallID   string   `xml:"callid,attr"`
	CSeq     *uint32  `xml:"cseq,attr"`
	URI      []string `xml:"urn:ietf:params:xml:ns:reginfo uri"`
	Unknown  []struct {
		Name  string `xml:"name,attr"`
		Value string `xml:",chardata"`
	} `xml:"urn:ietf:params:xml:ns:reginfo unknown-param"`
	Public []struct {
		URI string `xml:"uri,attr"`
	} `xml:"urn:ietf:params:xml:ns:gruuinfo pub-gruu"`
	Temp []struct {
		URI       string `xml:"uri,attr"`
		FirstCSeq uint32 `xml:"first-cseq,attr"`
	} `xml:"urn:ietf:params:xml:ns:gruuinfo temp-gruu"`
}

// read reads a document and holds it to the rules of RFC 3680 §5.4.
func read(t *testing.T, text string) (v view) {
	t.Helper()
	if err := xml.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("document: %v\n%s", err, text)
	}
	oneOf := func(what, value string, allowed ...string) {
		if !slices.Contains(allowed, value) {
			t.Errorf("%s is %q, want one of %v", what, value, allowed)
		}
	}
	oneOf("state of the document", v.State, "full", "partial")
	oneOf("state of the registration", v.Registration.State, "init", "active", "terminated")
	if v.Registration.AOR == "" || v.Registration.ID == "" {
		t.Errorf("registration without aor or id: %s", text)
	}
	ids := map[string]bool{}
	for _, c := range v.Registration.Contacts {
		oneOf("state of a contact", c.State, "active", "terminated")
		if c.State == "active" {
			oneOf("event", c.Event, "registered", "created", "refreshed", "shortened")
		} else {
			oneOf("event", c.Event, "expired", "deactivated", "probation", "unregistered", "rejected")
		}
		if c.Event == "shortened" && c.Expires == nil {
			t.Errorf("shortened without expires: %s", text)
		}
		if c.ID == "" || ids[c.ID] || len(c.URI) != 1 {
			t.Errorf("contact without an id of its own or one uri: %s", text)
		}
		ids[c.ID] = true
	}
	return v
}

// summary is a document in one line: "full 0 active c1=active/registered".
func (w *world) summary(s sent) string {
	w.t.Helper()
	v := read(w.t, s.m.Body())
	text := fmt.Sprintf("%s %d %s", v.State, v.Version, v.Registration.State)
	for _, c := range v.Registration.Contacts {
		text += " " + c.ID + "=" + c.State + "/" + c.Event
	}
	return text
}
