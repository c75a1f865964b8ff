package fastpath

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"reveille/flow"
	"reveille/internal/auth"
	"reveille/internal/sipmsg"
)

// both is two pipelines that get the same bytes.
type both struct{ with, without *pipeline }

func newBoth(t testing.TB, o setup) both {
	without := o
	o.with = true
	b := both{newPipeline(t, o), newPipeline(t, without)}
	settlePolicy()
	return b
}

func (b both) receive(f flow.Flow, raw string) {
	b.with.receive(f, raw)
	b.without.receive(f, raw)
}

// settle waits until all is answered, and compares answers and stores.
func (b both) settle(t testing.TB, what string) {
	t.Helper()
	synctest.Wait()
	time.Sleep(time.Second)
	synctest.Wait()
	if d := b.differ(); d != "" {
		t.Fatalf("%s: %s", what, d)
	}
	clear(b.with.answers)
	clear(b.without.answers)
}

// differ compares answers and stores; "" if they are the same.
func (b both) differ() string {
	d := b.answersDiffer()
	x, y := b.without.bindings(), b.with.bindings()
	if reflect.DeepEqual(x, y) { // much faster
		return d
	}
	if stores := cmp.Diff(x, y, sameAddr, cmpopts.EquateEmpty()); stores != "" {
		d += "stores differ (-without +with):\n" + stores
	}
	return d
}

func (b both) answersDiffer() string {
	if b.with.setup.store == late {
		// What needs no store is not held up by an answer that waits for it.
		for _, p := range [...]*pipeline{b.with, b.without} {
			for _, answers := range p.answers {
				slices.Sort(answers)
			}
		}
	}
	if reflect.DeepEqual(b.without.answers, b.with.answers) {
		return ""
	}
	var o cmp.Options
	if b.with.setup.loose {
		o = append(o, cmp.Comparer(alike))
	}
	if d := cmp.Diff(b.without.answers, b.with.answers, o); d != "" {
		return "answers differ (-without +with):\n" + d
	}
	return ""
}

var sameAddr = cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })

func (b both) stop() {
	b.with.stop()
	b.without.stop()
}

// TestPath_Differential pipelines random REGISTERs, plain ones and others, with
// calls among them, to a server with the Path and to one without it.
func TestPath_Differential(t *testing.T) {
	for _, tt := range []struct {
		name string
		setup
	}{
		{"open", setup{}},
		{"open, slow store", setup{store: slowly}},
		{"open, late store", setup{store: late}},
		{"digest", setup{required: true}},
		{"digest, slow store", setup{required: true, store: slowly}},
		{"digest, late store", setup{required: true, store: late}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tt.calls = true
				b := newBoth(t, tt.setup)
				defer b.stop()
				r := rand.New(rand.NewPCG(5, 6))
				p := phones{r: r, b: b}
				for round := range 150 {
					p.restart()
					var log []string
					for range 1 + r.IntN(12) {
						raw, f := p.next()
						log = append(log, raw)
						b.receive(f, raw)
					}
					b.settle(t, fmt.Sprintf("round %d\n%s\n", round, strings.Join(log, "\n")))
					time.Sleep(time.Duration(r.IntN(600)) * time.Second)
				}
				if n := b.with.inPlace(); n < 25 || b.with.several < 10 {
					t.Errorf("%v refreshes were answered in place, %d of phones beside others", n, b.with.several)
				}
				if d := cmp.Diff(b.without.counters(), b.with.counters()); d != "" {
					t.Errorf("counters differ (-without +with):\n%s", d)
				}
			})
		})
	}
}

// phones make REGISTERs. Each has one Call-ID at a time, for messages with
// different ones have no order.
type phones struct {
	r      *rand.Rand
	b      both
	cseq   [phoneCount]int
	callID [phoneCount]int
	nonce  string
	nc     uint32
	turn   [3]int             // which phone of each user sends in this round
	port   [phoneCount]int    // messages on different flows have no order, either
	last   [phoneCount]uint32 // nc
	calls  int
}

const phoneCount = 8

// owners are the users and their phones, which take turns: messages of different
// phones have no order. Of the last one it is not known whose AOR that is.
var owners = [3]struct {
	user   string
	phones []int
}{{"u0", []int{0, 2, 4, 6}}, {"u1", []int{1, 5, 7}}, {"U1", []int{3}}}

// contactOf is the contact of a user's phone: 0, 1 and 3 are the first ones.
func contactOf(user string, i int) string {
	switch i {
	case 2: // a desk phone
		return `<sip:second@192.0.2.10>;+sip.instance="<urn:x:second>"`
	case 4:
		return strings.ReplaceAll(phoneOf("u4"), "sip:u4@192.0.2.9", "sip:"+user+"@192.0.2.10")
	case 5: // another flow of the same device
		return strings.Replace(phoneOf(user), "reg-id=1", "reg-id=2", 1)
	case 6: // the token of another one, without an instance
		return `<sip:` + user + `@192.0.2.11;pn-provider=fcm;pn-param=proj;pn-prid=token-u4>;expires=3600;q=0.5`
	case 7: // neither an instance nor a token
		return `<sip:` + user + `@192.0.2.12:5060;ob>;expires=3600`
	}
	return phoneOf(user)
}

// restart gives each phone a new Call-ID now and then, and asks for a nonce.
func (p *phones) restart() {
	for i, o := range owners {
		p.turn[i] = o.phones[p.r.IntN(len(o.phones))]
	}
	for i := range p.callID {
		if p.r.IntN(6) == 0 {
			p.port[i]++
		}
		if p.r.IntN(6) == 0 {
			p.callID[i]++
		}
	}
	if a := p.b.without.auth; a != nil && (p.nonce == "" || p.r.IntN(3) > 0) {
		m, err := sipmsg.Parse([]byte(register{user: "u0", callID: "n", contact: phoneOf("u0"), cseq: 1}.String()), flowOf(1).Remote)
		if err != nil {
			panic(err)
		}
		p.b.with.auth.Check(p.b.with.t.Context(), m, flowOf(1), auth.Registrar, time.Now()) // counts alike
		d := a.Check(p.b.without.t.Context(), m, flowOf(1), auth.Registrar, time.Now())
		_, rest, _ := strings.Cut(d.Reply.Headers[0].Value, `nonce="`)
		p.nonce, _, _ = strings.Cut(rest, `"`)
		p.nc, p.last = 1, [phoneCount]uint32{}
	}
}

// extensionsOf is what a phone tells of itself. It changes with its network.
func (p *phones) extensionsOf(i int) []string {
	switch (i + p.port[i]) % 4 {
	case 1:
		return []string{"Supported: gruu, outbound, path", "Allow: INVITE, ACK, CANCEL, BYE, MESSAGE"}
	case 2:
		return []string{"Supported: 100rel", "k: outbound", "Allow: INVITE,ACK", "Allow: KDMQ"}
	case 3:
		return []string{"Supported: GRUU"}
	}
	return nil
}

func (p *phones) next() (string, flow.Flow) {
	r := p.r
	o := []int{0, 0, 1, 1, 2}[r.IntN(5)]
	user, i := owners[o].user, p.turn[o]
	p.cseq[i]++
	m := register{user: user, callID: fmt.Sprintf("call-%d-%d", i, p.callID[i]), contact: contactOf(user, i), cseq: p.cseq[i], more: p.extensionsOf(i)}
	f := flowOf(uint16(5060 + i + 10*p.port[i]))
	if p.port[i]%3 == 2 {
		f = streamOf(f.Remote.Port())
	}
	if p.nonce != "" {
		p.nc++
		password, nc := "secret", p.nc
		switch r.IntN(12) {
		case 0:
			password = "wrong"
		case 1:
			// Once more, if this phone has used one: two phones that use the same
			// have no order.
			if p.last[i] != 0 {
				nc = p.last[i]
			}
		}
		p.last[i] = nc
		if r.IntN(15) > 0 {
			m.more = append(m.more, credentials(user, password, p.nonce, nc))
		}
	}
	switch r.IntN(22) {
	case 0:
		m.cseq -= min(m.cseq, r.IntN(3))
	case 1:
		m.contact = strings.Replace(m.contact, "expires=3600", "expires=0", 1)
	case 2:
		m.contact = strings.Replace(m.contact, "expires=3600", "expires=100;q=0.3", 1)
	case 3:
		m.contact = strings.Replace(m.contact, "token-", "other-", 1)
	case 4:
		m.contact = "*"
		m.more = append(m.more, "Expires: 0")
	case 5:
		m.more = append(m.more, "Require: "+[]string{"path", "x"}[r.IntN(2)])
	case 6:
		m.more = append(m.more, "Path: <sip:edge.example.net;lr>", "Supported: path")
	case 7:
		m.more = append(m.more, `Feature-Caps: *;+sip.pns="fcm"`)
	case 9:
		m.more = append(m.more, "Route: <sip:elsewhere.test;lr>")
	case 10:
		m.contact, m.more = strings.Replace(m.contact, ";expires=3600", "", 1), append(m.more, fmt.Sprint("Expires: ", r.IntN(4000)))
	}
	raw := m.String()
	switch r.IntN(25) {
	case 0:
		raw = strings.Replace(raw, ";rport", "", 1)
	case 1:
		raw = strings.Replace(raw, "To: <sip:", "To: <sips:", 1)
	case 2:
		raw = strings.Replace(raw, "REGISTER sip:example.com", "REGISTER sip:elsewhere.test", 1)
	case 3:
		raw = strings.Replace(raw, "Max-Forwards: 70", "Max-Forwards:\r\n 0", 1)
	case 4:
		raw = strings.Replace(raw, "Contact: ", "Contact: <sip:third@192.0.2.11>, ", 1)
	case 5:
		raw = strings.Replace(raw, "User-Agent: phone/1", "User-Agent: phone/2", 1)
	case 6:
		raw = strings.ReplaceAll(raw, "REGISTER", "OPTIONS")
	case 7:
		// Somebody calls the user.
		p.calls++
		m.callID, f = fmt.Sprint("call to ", user, p.calls), streamOf(4000)
		raw = strings.ReplaceAll(strings.ReplaceAll(m.String(), "REGISTER", "INVITE"), "call to ", "call")
	}
	return raw, f
}

// newRefresh registers a phone, and as many others of its user, and returns what
// refreshes it.
func newRefresh(t testing.TB, p *pipeline, others int) func() {
	for i := range others {
		other := register{user: "u0", callID: fmt.Sprint("other", i), contact: strings.ReplaceAll(phoneOf(fmt.Sprint("other", i)), "192.0.2.9", "192.0.2.10"), cseq: 1}
		p.handle(flowOf(1), other.String())
	}
	m := register{user: "u0", callID: "c", contact: phoneOf("u0"), cseq: 1000000}
	p.handle(flowOf(1), m.String())
	raw, out := []byte(m.String()), make([]byte, 0, 4096)
	at := strings.Index(string(raw), "CSeq: 1000000") + len("CSeq: 1")
	n := 0
	return func() {
		n++
		for i, v := 5, n; i >= 0; i, v = i-1, v/10 {
			raw[at+i] = byte('0' + v%10)
		}
		if _, mine := p.path.Try(flowOf(1), raw, out[:0]); !mine {
			t.Fatal("declined")
		}
	}
}

func TestPath_AllocatesNothing(t *testing.T) {
	for others := range 3 {
		p := newPipeline(t, setup{with: true})
		settlePolicy()
		if got := testing.AllocsPerRun(200, newRefresh(t, p, others)); got != 0 && !poolsForget {
			t.Errorf("%v allocations beside %d others", got, others)
		}
		p.stop()
	}
}

func TestNew_Requires(t *testing.T) {
	if _, err := New(Options{}); err == nil {
		t.Error("New takes nothing")
	}
}
