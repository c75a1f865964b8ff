package registrar

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"reveille/flow"
	"reveille/internal/sipmsg"
	"reveille/push"
	"reveille/usrloc"
)

const alice = usrloc.AOR("sip:alice@example.com")

var birthday = time.Date(2026, 11, 21, 23, 0, 0, 0, time.UTC)

// services is a Waking that supports the providers it maps to VAPID keys.
type services map[string]string

func (s services) Supports(p push.Params) bool { _, ok := s[p.Provider]; return ok }

func (s services) VAPIDKey(p push.Params) string { return s[p.Provider] }

func (s services) Providers() []string {
	var names []string
	for _, name := range []string{"apns", "fcm", "webpush"} {
		if _, ok := s[name]; ok {
			names = append(names, name)
		}
	}
	return names
}

// plainPURR shows which binding a PURR is for.
type plainPURR struct{}

func (plainPURR) AppendMint(dst []byte, id usrloc.BindingID) []byte {
	return append(dst, "purr"+id.String()[28:]...)
}

func pushPolicy() Policy {
	p := DefaultPolicy("example.com")
	p.Push.Waking = services{"apns": "", "fcm": "", "webpush": "BPub-Key_0"}
	p.Push.PURR = plainPURR{}
	return p
}

// A world is one AOR under test: a Record, a clock and a policy.
type world struct {
	t   *testing.T
	p   Policy
	rec usrloc.Record
	now time.Time
	ids uint16
	// last is the record before the last REGISTER.
	last *usrloc.Record
}

func newWorld(t *testing.T, change ...func(*Policy)) *world {
	t.Helper()
	w := &world{t: t, p: pushPolicy(), now: birthday, rec: usrloc.Record{AOR: alice}}
	for _, c := range change {
		c(&w.p)
	}
	if err := w.p.Validate(); err != nil {
		t.Fatal(err)
	}
	return w
}

// flowFrom is a UDP flow from a port of the phone's address.
func flowFrom(port uint16) flow.Flow {
	return flow.Flow{Listener: "main", Transport: flow.UDP, Remote: netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), port)}
}

// contact reads a Contact value as the handler does.
func (w *world) contact(value string) Contact {
	w.t.Helper()
	c, ok := w.tryContact(value)
	if !ok {
		w.t.Fatalf("contact %q cannot be read", value)
	}
	return c
}

// tryContact is contact for a value that may be malformed.
func (w *world) tryContact(value string) (c Contact, ok bool) {
	na, err := sipmsg.ParseNameAddr(value)
	if err != nil {
		return Contact{}, false
	}
	c = readContact(&na)
	w.ids++
	p := usrloc.Partition(alice)
	c.ID[0], c.ID[1] = byte(p>>8), byte(p)
	binary.BigEndian.PutUint16(c.ID[14:], w.ids)
	return c, true
}

func (w *world) input(callID string, cseq uint32, contacts ...string) *Input {
	w.t.Helper()
	in := &Input{AOR: alice, CallID: callID, CSeq: cseq, Now: w.now, Flow: flowFrom(5060)}
	for _, c := range contacts {
		in.Contacts = append(in.Contacts, w.contact(c))
	}
	return in
}

// apply works in into the world's record, and checks what holds for every
// REGISTER.
func (w *world) apply(in *Input) (Result, error) {
	w.t.Helper()
	before := snapshot(w.rec)
	next, res, err := Apply(&w.p, w.rec, in)
	again, _, err2 := Apply(&w.p, w.rec, in)
	if snapshot(next) != snapshot(again) || (err == nil) != (err2 == nil) {
		w.t.Errorf("Apply is not pure:\n%s\n%s", snapshot(next), snapshot(again))
	}
	if got := snapshot(w.rec); got != before {
		w.t.Errorf("Apply changed its argument:\n%s\nwas\n%s", got, before)
	}
	if err != nil && snapshot(next) != before {
		w.t.Errorf("a refused REGISTER changed the record:\n%s\nwas\n%s", snapshot(next), before)
	}
	last := w.rec
	w.rec, w.last = next, &last
	return res, err
}

func (w *world) register(callID string, cseq uint32, contacts ...string) (Result, error) {
	w.t.Helper()
	return w.apply(w.input(callID, cseq, contacts...))
}

func (w *world) mustRegister(callID string, cseq uint32, contacts ...string) Result {
	w.t.Helper()
	res, err := w.register(callID, cseq, contacts...)
	if err != nil {
		w.t.Fatalf("REGISTER %s %d %q: %v", callID, cseq, contacts, err)
	}
	return res
}

func (w *world) after(d time.Duration) { w.now = w.now.Add(d) }

// contacts lists the Contact URIs in the record.
func (w *world) contacts() []string {
	var uris []string
	for i := range w.rec.Bindings {
		uris = append(uris, w.rec.Bindings[i].Contact)
	}
	return uris
}

func (w *world) want(uris ...string) {
	w.t.Helper()
	if got := w.contacts(); strings.Join(got, " | ") != strings.Join(uris, " | ") {
		w.t.Errorf("bindings are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(uris, "\n"))
	}
}

// only returns the one binding there must be.
func (w *world) only() *usrloc.Binding {
	w.t.Helper()
	if len(w.rec.Bindings) != 1 {
		w.t.Fatalf("%d bindings, want 1: %q", len(w.rec.Bindings), w.contacts())
	}
	return &w.rec.Bindings[0]
}

// granted is the lifetime of the one binding.
func (w *world) granted() time.Duration {
	w.t.Helper()
	return w.only().Expires.Sub(w.now)
}

// ok is what AppendOK writes, less the Date.
func (w *world) ok(res Result) string {
	lines := string(AppendOK(nil, &w.p, &w.rec, &res, w.now))
	before, _, _ := strings.Cut(lines, "Date: ")
	return before
}

func snapshot(rec usrloc.Record) string {
	var b strings.Builder
	for i := range rec.Bindings {
		o := &rec.Bindings[i]
		b.WriteString(strings.Join([]string{
			o.ID.String(), o.Contact, o.Params, o.CallID, o.Instance, o.Expires.UTC().String(), o.Updated.UTC().String(), o.Flow.String(),
			o.Push.PRID, o.RefreshAt.UTC().String(), strconv.FormatUint(o.GRUUSet, 10),
		}, " "))
		b.WriteByte(byte(o.CSeq))
		b.WriteByte('\n')
	}
	return b.String()
}

// wantRefusal checks that err is a Refusal with that code.
func wantRefusal(t *testing.T, err error, code int) *Refusal {
	t.Helper()
	var r *Refusal
	if !errors.As(err, &r) || r.Code != code {
		t.Fatalf("error is %v, want a %d", err, code)
	}
	return r
}
