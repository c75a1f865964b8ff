package fastpath

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"reveille/flow"
	"reveille/internal/auth"
	"reveille/internal/sipmsg"
)

// both is two pipelines that get the same bytes.
type both struct{ with, without *pipeline }

func newBoth(t testing.TB, slow, required bool) both {
	// What was accepted in the millisecond in which a policy came into force
	// counts as accepted before.
	b := both{newPipeline(t, true, slow, required), newPipeline(t, false, slow, required)}
	time.Sleep(time.Second)
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
	if d := cmp.Diff(b.without.answers, b.with.answers); d != "" {
		t.Fatalf("%s: answers differ (-without +with):\n%s", what, d)
	}
	if x, y := b.without.bindings(), b.with.bindings(); x != y {
		t.Fatalf("%s: stores differ (-without +with):\n%s", what, cmp.Diff(x, y))
	}
	clear(b.with.answers)
	clear(b.without.answers)
}

func (b both) stop() {
	b.with.stop()
	b.without.stop()
}

// TestPath_Differential pipelines random REGISTERs, plain ones and others, to a
// server with the Path and to one without it.
func TestPath_Differential(t *testing.T) {
	for _, tt := range []struct {
		name           string
		slow, required bool
	}{{"open", false, false}, {"open, slow store", true, false}, {"digest", false, true}, {"digest, slow store", true, true}} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBoth(t, tt.slow, tt.required)
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
				if n := b.with.counted(); n < 25 {
					t.Errorf("%v refreshes were answered in place", n)
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
	cseq   [4]int
	callID [4]int
	nonce  string
	nc     uint32
	turn   int
	port   [4]int    // messages on different flows have no order, either
	last   [4]uint32 // nc
}

// restart gives each phone a new Call-ID now and then, and asks for a nonce.
func (p *phones) restart() {
	p.turn = p.r.IntN(2)
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
		d := a.Check(p.b.without.t.Context(), m, flowOf(1), auth.Registrar, time.Now())
		_, rest, _ := strings.Cut(d.Reply.Headers[0].Value, `nonce="`)
		p.nonce, _, _ = strings.Cut(rest, `"`)
		p.nc, p.last = 1, [4]uint32{}
	}
}

func (p *phones) next() (string, flow.Flow) {
	r := p.r
	i := r.IntN(len(p.cseq))
	if i == 2*p.turn {
		// u0's two phones take turns, for their messages have no order.
		i = 1
	}
	user := fmt.Sprint("u", i%2)
	if i == 3 {
		user = "U1" // another AOR, whose owner is not known
	}
	p.cseq[i]++
	m := register{user: user, callID: fmt.Sprintf("call-%d-%d", i, p.callID[i]), contact: phoneOf(user), cseq: p.cseq[i]}
	if i == 2 {
		m.contact = `<sip:second@192.0.2.10>;+sip.instance="<urn:x:second>"` // u0 has two phones now and then
	}
	f := flowOf(uint16(5060 + i + 10*p.port[i]))
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
	}
	return raw, f
}

func TestPath_AllocatesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipeline(t, true, false, false)
		defer p.stop()
		time.Sleep(time.Second)
		m := register{user: "u0", callID: "c", contact: phoneOf("u0"), cseq: 1000000}
		p.receive(flowOf(1), m.String())
		synctest.Wait()
		raw, out := []byte(m.String()), make([]byte, 0, 4096)
		at := strings.Index(string(raw), "CSeq: 1000000") + len("CSeq: 1")
		n := 0
		if got := testing.AllocsPerRun(200, func() {
			n++
			for i, v := 5, n; i >= 0; i, v = i-1, v/10 {
				raw[at+i] = byte('0' + v%10)
			}
			if _, mine := p.path.Try(flowOf(1), raw, out[:0]); !mine {
				t.Fatal("declined")
			}
		}); got != 0 && !poolsForget {
			t.Errorf("%v allocations", got)
		}
	})
}

func TestNew_Requires(t *testing.T) {
	if _, err := New(Options{}); err == nil {
		t.Error("New takes nothing")
	}
}

// FuzzPath sends any bytes between two refreshes to both pipelines.
func FuzzPath(f *testing.F) {
	m := register{user: "u0", callID: "c", contact: phoneOf("u0"), cseq: 7}
	f.Add([]byte(m.String()))
	f.Add([]byte(strings.Replace(m.String(), "expires=3600", "expires=60 ;q=1.0", 1)))
	f.Add([]byte(strings.Replace(m.String(), "CSeq: 7", "Expires: 77\r\nX: y\r\nCSeq: 7", 1)))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(raw) > 3000 {
			return
		}
		between(t, string(raw))
	})
}

// between sends raw between two refreshes of its phone to both pipelines.
func between(t *testing.T, raw string) {
	synctest.Test(t, func(t *testing.T) {
		b := newBoth(t, false, false)
		defer b.stop()
		for _, s := range []string{
			register{user: "u0", callID: "c", contact: phoneOf("u0"), cseq: 5}.String(), raw,
			register{user: "u0", callID: "c", contact: phoneOf("u0"), cseq: 9}.String(),
		} {
			b.receive(flowOf(5060), s)
			b.settle(t, raw)
		}
	})
}

// TestPath_Mutated damages refreshes at random.
func TestPath_Mutated(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	const bytes = " \t\r\n,;:<>\"=*%@?aA09\x00\xff"
	for range 500 {
		raw := register{user: "u0", callID: "c", contact: phoneOf("u0"), cseq: 7, more: []string{"Expires: 77", "X: y"}}.String()
		for range 1 + r.IntN(3) {
			at := r.IntN(len(raw))
			switch c := string(bytes[r.IntN(len(bytes))]); r.IntN(4) {
			case 0:
				raw = raw[:at] + c + raw[at+1:]
			case 1:
				raw = raw[:at] + c + raw[at:]
			case 2:
				raw = raw[:at] + raw[at+1:]
			case 3: // a part of it twice
				to := min(len(raw), at+r.IntN(60))
				raw = raw[:to] + raw[at:to] + raw[to:]
			}
		}
		between(t, raw)
	}
}
