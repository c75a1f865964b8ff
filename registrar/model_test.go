package registrar

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"reveille/internal/modeltest"
	"reveille/usrloc"
)

// The model knows devices, not bindings: what a user would say about which
// phones are registered. It shares no code with the package. A phone has a
// number; it may have an instance, flows, and a token that the push service
// renews. Sequences of what phones do are drawn at random, by a seed or by the
// fuzzer, and after each step the Record must show exactly the phones that the
// model has.

// A step is drawn from four bytes.
type step [4]byte

func (s step) phone() int     { return int(s[0]) % 5 }
func (s step) act() int       { return int(s[1]) % 10 }
func (s step) detail() int    { return int(s[2]) }
func (s step) seconds() int   { return int(s[3]) % 32 * int(s[3]) % 32 * 4 }
func (s step) flow() int      { return 1 + int(s[2])%2 }
func (s step) lifetime() int  { return 300 + int(s[2])*10 }
func (s step) otherWay() bool { return s[3]%2 == 1 }

// A phone is one device of the model.
type phone struct {
	number  int
	port    int // changes when it moves
	token   int // changes when the push service renews it
	call    int // changes when it restarts
	cseq    uint32
	install int // changes when the app is installed anew, and the instance with it
	// ends is when each of its flows ends; flow 0 is that of a phone without
	// reg-id.
	ends map[int]time.Time
	// last is the Call-ID and CSeq with which each flow registered last.
	last map[int]string
}

// Phones 0 and 1 have an instance and a token, 2 an instance, flows and a
// token, 3 only a token, 4 neither.
func (p *phone) contact(flow, seconds int) string {
	uri := fmt.Sprintf("sip:phone%d@192.0.2.%d:%d", p.number, p.number+1, 1024+p.port)
	if p.number == 4 {
		uri = "sip:phone4@192.0.2.5"
	} else {
		uri += fmt.Sprintf(";pn-provider=fcm;pn-param=proj;pn-prid=%%74ok-%d-%d", p.number, p.token)
	}
	value := "<" + uri + ">"
	if p.number <= 2 {
		value += fmt.Sprintf(`;+sip.instance="<urn:uuid:%d-%d>"`, p.number, p.install)
	}
	if flow > 0 {
		value += fmt.Sprintf(";reg-id=%d", flow)
	}
	return fmt.Sprintf("%s;expires=%d", value, seconds)
}

func (p *phone) callID() string { return fmt.Sprintf("call-%d-%d", p.number, p.call) }

// A household is the model of one AOR.
type household struct {
	w      *world
	phones [5]*phone
}

func newHousehold(t *testing.T) *household {
	h := &household{w: newWorld(t, func(p *Policy) { p.MaxContacts = 100; p.MaxExpires = 3 * time.Hour })}
	for i := range h.phones {
		h.phones[i] = &phone{number: i, ends: map[int]time.Time{}, last: map[int]string{}}
	}
	return h
}

// play does one step in the model and in the package.
func (h *household) play(s step) {
	t, w, p := h.w.t, h.w, h.phones[s.phone()]
	t.Helper()
	w.after(time.Duration(s.seconds()) * time.Second)
	h.expire()
	flow := 0
	if p.number == 2 {
		flow = s.flow()
	}
	register := func(seconds int) {
		p.cseq++
		w.mustRegister(p.callID(), p.cseq, p.contact(flow, seconds))
		p.ends[flow] = w.now.Add(time.Duration(seconds) * time.Second)
		p.last[flow] = fmt.Sprint(p.callID(), p.cseq)
		if seconds == 0 {
			delete(p.ends, flow)
		}
	}
	switch s.act() {
	case 0, 1: // refreshes
		register(s.lifetime())
	case 2: // changes its network
		p.port = s.detail()
		register(s.lifetime())
	case 3: // gets a new token; a phone with nothing else must stay where it is
		p.token++
		register(s.lifetime())
		if _, live := p.ends[3-flow]; live {
			// It refreshes every binding that it has (RFC 8599 §4.1.3).
			flow = 3 - flow
			register(s.lifetime())
		}
	case 4: // restarts
		p.call++
		p.cseq = 0
		register(s.lifetime())
	case 5: // is installed anew, and keeps its token
		p.install++
		if p.number == 2 {
			// Its other flow is of the old installation.
			clear(p.ends)
		}
		register(s.lifetime())
	case 6: // leaves
		register(0)
	case 7: // an old request arrives late
		before := snapshot(w.rec)
		contacts := []string{p.contact(flow, 301), "<sip:intruder@h>"}
		if flow > 0 {
			// One flow registers alone; without something new it is a copy.
			contacts = []string{p.contact(flow, 301) + ";q=0.1"}
		}
		_, err := w.register(p.callID(), p.cseq, contacts...)
		if _, live := p.ends[flow]; live && p.last[flow] == fmt.Sprint(p.callID(), p.cseq) {
			wantRefusal(t, err, 500)
		} else if err == nil {
			// The server forgot the Call-ID with the binding, or the request is
			// the first one of it for this flow.
			w.rec = w.restore(before)
		}
		if snapshot(w.rec) != before {
			t.Error("a stale request changed something")
		}
	case 8: // refused as a whole: a contact of another phone is out of order, or malformed
		before := snapshot(w.rec)
		_, err := w.register("x", 1, p.contact(flow, 600), "<sip:alice@example.com>")
		wantRefusal(t, err, 403)
		if snapshot(w.rec) != before {
			t.Error("a refused request changed something")
		}
	case 9: // all leave
		if !s.otherWay() {
			return
		}
		in := w.input("all", 1)
		in.Star, in.Expires = true, Expires{Present: true}
		if _, err := w.apply(in); err != nil {
			t.Error(err)
		}
		for _, p := range h.phones {
			clear(p.ends)
		}
	}
	h.check()
}

// restore brings back the record before the last step.
func (w *world) restore(before string) usrloc.Record {
	if w.last == nil || snapshot(*w.last) != before {
		w.t.Fatal("nothing to restore")
	}
	return *w.last
}

// expire does what the Store does.
func (h *household) expire() {
	w := h.w
	w.rec.Bindings = slices.DeleteFunc(slices.Clone(w.rec.Bindings), func(b usrloc.Binding) bool { return !w.now.Before(b.RetainUntil) })
	for _, p := range h.phones {
		for flow, end := range p.ends {
			if !w.now.Before(end) {
				delete(p.ends, flow)
			}
		}
	}
}

// check compares the Record with the model, and looks for what must never be.
func (h *household) check() {
	t := h.w.t
	t.Helper()
	var want []string
	for _, p := range h.phones {
		for flow, end := range p.ends {
			want = append(want, fmt.Sprintf("phone%d flow %d until %s", p.number, flow, end.Format(time.TimeOnly)))
		}
	}
	var got []string
	ids, instances, tokens := map[usrloc.BindingID]bool{}, map[string]bool{}, map[string]string{}
	for i := range h.w.rec.Bindings {
		b := &h.w.rec.Bindings[i]
		name, _, _ := strings.Cut(strings.TrimPrefix(b.Contact, "sip:"), "@")
		got = append(got, fmt.Sprintf("%s flow %d until %s", name, b.RegID, b.Expires.Format(time.TimeOnly)))
		key := fmt.Sprint(b.Instance, b.RegID)
		if b.Instance != "" && instances[key] {
			t.Errorf("two bindings of instance %s reg-id %d", b.Instance, b.RegID)
		}
		instances[key] = true
		if ids[b.ID] || b.ID.IsZero() {
			t.Errorf("identity %v is not unique", b.ID)
		}
		ids[b.ID] = true
		if of, ok := tokens[b.Push.PRID]; ok && b.Push.PRID != "" && (of != b.Instance || b.RegID == 0) {
			t.Errorf("two devices have the token %s", b.Push.PRID)
		}
		tokens[b.Push.PRID] = b.Instance
		if !b.Push.IsZero() && !b.RefreshAt.Before(b.Expires) {
			t.Errorf("%s is refreshed at %v, after its end %v", name, b.RefreshAt, b.Expires)
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("registered:\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestApply_RandomHouseholds(t *testing.T) {
	for seed := range modeltest.Seeds(t, 40) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		h := newHousehold(t)
		for range 60 {
			var s step
			binary.BigEndian.PutUint32(s[:], rnd.Uint32())
			h.play(s)
			if t.Failed() {
				t.Fatalf("seed %d, step %v", seed, s)
			}
		}
	}
}

func FuzzApply(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 0, 2, 9, 1, 0, 5, 0, 0, 0, 6, 0, 0})
	f.Add([]byte{2, 0, 0, 0, 2, 0, 1, 0, 2, 5, 1, 0, 2, 5, 0, 0, 9, 9, 9, 9})
	f.Fuzz(func(t *testing.T, steps []byte) {
		h := newHousehold(t)
		for i := 0; i+4 <= len(steps) && i < 4*200; i += 4 {
			h.play(step(steps[i : i+4]))
		}
	})
}

// FuzzApply_AnyContact has no model but what must hold for whatever is written
// into Contact: no panic, nothing changed by a refused request, one device once,
// an answer of whole lines that reads back as what is stored, and no token of a
// device but to itself.
func FuzzApply_AnyContact(f *testing.F) {
	for _, s := range []string{fcm, apns, web, "sip:a@h;x", "<sips:a@[::1]:5061;transport=ws?a=b>;q=0.1;reg-id=1", `"x" <tel:+1>;+sip.instance="<a>"`} {
		f.Add(s, s+";expires=0")
		f.Add(s, fcm)
	}
	f.Fuzz(func(t *testing.T, first, second string) {
		w := newWorld(t)
		for i, value := range []string{first, second} {
			c, ok := w.tryContact(value)
			if !ok {
				return
			}
			in := &Input{AOR: alice, CallID: "one", CSeq: uint32(i + 1), Now: w.now, Contacts: []Contact{c}}
			res, err := w.apply(in)
			if err != nil {
				continue
			}
			if len(w.rec.Bindings) > i+1 {
				t.Errorf("%d bindings after %d contacts", len(w.rec.Bindings), i+1)
			}
			w.checkAnswer(w.ok(res), &res)
		}
	})
}

// checkAnswer reads the Contact lines of an answer back.
func (w *world) checkAnswer(lines string, res *Result) {
	w.t.Helper()
	n := 0
	for line := range strings.Lines(lines) {
		if !strings.HasSuffix(line, "\r\n") || strings.ContainsAny(strings.TrimSuffix(line, "\r\n"), "\r\n") {
			w.t.Errorf("broken line %q", line)
		}
		value, ok := strings.CutPrefix(strings.TrimSuffix(line, "\r\n"), "Contact: ")
		if !ok {
			continue
		}
		b := &w.rec.Bindings[n]
		n++
		c, ok := w.tryContact(value)
		if !ok {
			w.t.Errorf("answer %q cannot be read", value)
			continue
		}
		carried := slices.Contains(res.Carried, b.ID)
		if carried && (c.URI != b.Contact || c.Instance != b.Instance) {
			w.t.Errorf("answer %q is not the stored %q", value, b.Contact)
		}
		if !carried && c.Push.PRID != "" {
			w.t.Errorf("answer %q shows the token of another device", value)
		}
		if c.Expires.Seconds != uint32(b.Expires.Sub(w.now)/time.Second) || c.Q != b.Q {
			w.t.Errorf("answer %q: expires %d, q %d; stored %v, %d", value, c.Expires.Seconds, c.Q, b.Expires.Sub(w.now), b.Q)
		}
	}
	if n != len(w.rec.Bindings) {
		w.t.Errorf("%d of %d bindings listed", n, len(w.rec.Bindings))
	}
}
