package fastpath

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"reveille/flow"
)

// A REGISTER does not overtake one of its AOR that has another Call-ID and waits
// for the Store: the last word of a phone that was started anew is the last.
func TestPath_KeepsOrderOfAOR_Invariant1(t *testing.T) {
	for _, tt := range []struct {
		name string
		to   string // of the one that waits
		slow bool   // the next one must wait, too
	}{
		{"as the key is written", "To: <sip:u0@example.com>", true},
		{"in another way", "To: \"Me\" <SIP:%75%30@EXAMPLE.com;x=y>;a=b", true},
		{"another AOR", "To: <sip:u1@example.com>", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPipeline(t, setup{with: true, store: slowly})
				defer p.stop()
				settlePolicy()
				m := register{user: "u0", callID: "before", contact: phoneOf("u0"), cseq: 1}
				p.receive(flowOf(1), m.String())
				time.Sleep(time.Second)
				removal := m
				removal.callID, removal.contact = "removal", strings.Replace(m.contact, "expires=3600", "expires=0", 1)
				p.receive(flowOf(1), strings.Replace(removal.String(), "To: <sip:u0@example.com>", tt.to, 1))
				time.Sleep(slowness / 2)
				m.callID, m.cseq = "anew", 1
				p.receive(flowOf(1), m.String())
				if got := p.inPlace() == 0; got != tt.slow {
					t.Errorf("the next REGISTER waits: %v, want %v", got, tt.slow)
				}
				synctest.Wait()
				time.Sleep(time.Second)
				if all := p.bindings(); tt.slow && (len(all) != 1 || all[0].Binding.CallID != "anew") {
					t.Errorf("the phone is not registered: %v", all)
				}
			})
		})
	}
}

// A message is not answered before one with its Call-ID that waits.
func TestPath_KeepsOrder_Invariant1(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipeline(t, setup{with: true, store: slowly})
		defer p.stop()
		settlePolicy()
		m := register{user: "u0", callID: "c", contact: phoneOf("u0"), cseq: 1}
		send := func(f flow.Flow) { m.cseq++; p.receive(f, m.String()) }
		send(flowOf(1))
		time.Sleep(time.Second)
		send(flowOf(1)) // plain
		if n := p.inPlace(); n != 1 {
			t.Fatalf("%v answered in place, want 1", n)
		}
		m.more = []string{"Require: path"}
		send(flowOf(1)) // not plain: it waits for the store
		m.more = nil
		send(flowOf(1)) // plain, but behind it
		if n := p.inPlace(); n != 1 {
			t.Errorf("a message overtook another one of its Call-ID")
		}
		time.Sleep(time.Second)
		send(flowOf(1))
		if n := p.inPlace(); n != 2 {
			t.Errorf("%v answered in place, want 2", n)
		}
		synctest.Wait()
		for i, answer := range p.answers["c"] {
			if want := "CSeq: " + string(rune('2'+i)) + " REGISTER"; !strings.Contains(answer, want) || !strings.Contains(answer, "SIP/2.0 200 OK") {
				t.Errorf("answer %d is no 200 to %s:\n%s", i, want, answer)
			}
		}
	})
}

// What is answered in place is answered where it came from (RFC 3261 §18.2.2, RFC
// 3581 §4); what goes elsewhere takes the long way.
func TestPath_AnswersWhereItCameFrom_RFC3261_18_2_2(t *testing.T) {
	for _, tt := range []struct {
		name, via string
		f         flow.Flow
		inPlace   bool
	}{
		{"rport", "192.0.2.9:5060;rport", flowOf(6000), true},
		{"rport filled in", "192.0.2.9:5060;rport=1", flowOf(6000), true},
		{"sent-by is where it came from", "phone.invalid:6000", flowOf(6000), true},
		{"sent-by is another port", "192.0.2.9:6001", flowOf(6000), false},
		{"the default port", "192.0.2.9", flowOf(5060), true},
		{"not the default port", "192.0.2.9", flowOf(6000), false},
		{"maddr", "192.0.2.9:6000;maddr=192.0.2.77", flowOf(6000), true},
		{"connection", "192.0.2.9", streamOf(6000), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newPersistent(t, setup{loose: true})
			m := register{user: "u0", callID: "c", contact: phoneOf("u0")}
			for range 2 {
				m.cseq++
				raw := strings.Replace(m.String(), "192.0.2.9:5060;branch=z9hG4bKc.1;rport", tt.via+";branch=z9hG4bKc.1", 1)
				raw = strings.Replace(raw, "192.0.2.9:5060;branch=z9hG4bKc.2;rport", tt.via+";branch=z9hG4bKc.2", 1)
				b.with.handle(tt.f, raw)
				b.without.handle(tt.f, raw)
			}
			if d := b.differ(); d != "" {
				t.Error(d)
			}
			if got := b.with.inPlace() == 1; got != tt.inPlace {
				t.Errorf("answered in place: %v, want %v", got, tt.inPlace)
			}
		})
	}
}
