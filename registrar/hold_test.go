package registrar

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"reveille/flow"
	"reveille/usrloc"
)

// A held is a call of Options.Hold.
type held struct {
	Flow flow.Flow
	For  time.Duration
}

// overTCP is flowFrom for a connection.
func overTCP(number uint64) flow.Flow {
	f := flowFrom(40000)
	f.Transport, f.Incarnation, f.Conn = flow.TCP, 1, number
	return f
}

// TestHold_ConnectionsLiveAsLongAsBindingsWithoutPush asks both ways of a
// REGISTER for the same.
func TestHold_ConnectionsLiveAsLongAsBindingsWithoutPush(t *testing.T) {
	const (
		plain = "<sip:alice@192.0.2.1:40000;transport=tcp>"
		woken = "<sip:alice@192.0.2.1:40000;transport=tcp;pn-provider=fcm;pn-param=p;pn-prid=t>"
	)
	for _, tc := range []struct {
		name    string
		contact string
		flow    flow.Flow
		want    []time.Duration
	}{
		{name: "plain, TCP", contact: plain, flow: overTCP(1), want: []time.Duration{600 * time.Second}},
		{name: "plain, UDP", contact: plain, flow: flowFrom(40000)},
		{name: "push, TCP", contact: woken, flow: overTCP(1)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var got []held
				note := func(f flow.Flow, _ usrloc.BindingID, until time.Time) { got = append(got, held{f, time.Until(until)}) }
				var want []held
				for _, d := range tc.want {
					want = append(want, held{tc.flow, d})
				}
				store := usrloc.NewMemory(usrloc.MemoryOptions{})
				defer store.Close()
				r, err := New(Options{Store: store, Policy: pushPolicy(), Hold: note})
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second) // What came before the policy is written the long way.
				s := &server{Registrar: r, t: t}
				for cseq, way := range []func(request string){
					func(request string) {
						x := s.exchange(request)
						x.f = tc.flow
						s.Serve(x, nil)
						if answer := <-x.answer; answer[:11] != "SIP/2.0 200" {
							t.Fatal(answer)
						}
					},
					func(string) {
						w := r.NewRefresh()
						w.Contact = tc.contact
						w.Input = Input{AOR: "sip:alice@example.com", CallID: "c", CSeq: 2, Now: time.Now(), Flow: tc.flow, Expires: ParseExpires("600")}
						if _, touched := w.Try(store, nil, nil); touched != usrloc.TouchDone {
							t.Fatalf("Try = %v", touched)
						}
					},
				} {
					got = nil
					way("REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/TCP 192.0.2.1:40000;branch=z9hG4bK1\r\nMax-Forwards: 70\r\n" +
						"From: <sip:alice@example.com>;tag=1\r\nTo: <sip:alice@example.com>\r\nCall-ID: c\r\nCSeq: 1 REGISTER\r\n" +
						"Contact: " + tc.contact + "\r\nExpires: 600\r\nContent-Length: 0\r\n\r\n")
					if !slices.Equal(got, want) {
						t.Errorf("REGISTER %d: held %v, want %v", cseq+1, got, want)
					}
					time.Sleep(time.Second)
				}
			})
		})
	}
}

// TestHold_EndsWithTheBinding: a connection is held no more for a binding that is
// gone, or that goes another way. Both ways of a REGISTER do the same.
func TestHold_EndsWithTheBinding(t *testing.T) {
	const (
		plain = "<sip:alice@192.0.2.1:40000;transport=tcp>"
		woken = "<sip:alice@192.0.2.1:40000;transport=tcp;pn-provider=fcm;pn-param=p;pn-prid=t>"
		phone = `;+sip.instance="<urn:x:1>"`
	)
	no := func(f flow.Flow) held { return held{f, 0} }
	yes := func(f flow.Flow) held { return held{f, 10 * time.Minute} }
	for _, tc := range []struct {
		name     string
		contacts string
		expires  string
		flow     flow.Flow
		fast     bool
		want     []held
	}{
		{"removed", plain + phone, "0", overTCP(1), false, []held{no(overTCP(1))}},
		{"removed over another connection", plain + phone, "0", overTCP(2), false, []held{no(overTCP(1))}},
		{"all removed", "*", "0", overTCP(1), false, []held{no(overTCP(1))}},
		{"moves", plain + phone, "600", overTCP(2), false, []held{no(overTCP(1)), yes(overTCP(2))}},
		{"moves, in place", plain + phone, "600", overTCP(2), true, []held{no(overTCP(1)), yes(overTCP(2))}},
		{"moves to UDP", plain + phone, "600", flowFrom(40000), false, []held{no(overTCP(1))}},
		{"moves to UDP, in place", plain + phone, "600", flowFrom(40000), true, []held{no(overTCP(1))}},
		{"can be woken now", woken + phone, "600", overTCP(1), false, []held{no(overTCP(1))}},
		{"stays", plain + phone, "600", overTCP(1), false, []held{yes(overTCP(1))}},
		{"stays, in place", plain + phone, "600", overTCP(1), true, []held{yes(overTCP(1))}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var got []held
				var ids []usrloc.BindingID
				note := func(f flow.Flow, id usrloc.BindingID, until time.Time) {
					h := held{Flow: f}
					if !until.IsZero() {
						h.For = time.Until(until)
					}
					got, ids = append(got, h), append(ids, id)
				}
				store := usrloc.NewMemory(usrloc.MemoryOptions{})
				defer store.Close()
				r, err := New(Options{Store: store, Policy: pushPolicy(), Hold: note})
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second)
				s := &server{Registrar: r, t: t}
				register := func(contact, expires string, cseq int, f flow.Flow) {
					x := s.exchange(fmt.Sprintf("REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/TCP 192.0.2.1:40000;branch=z9hG4bK%d\r\nMax-Forwards: 70\r\n"+
						"From: <sip:alice@example.com>;tag=1\r\nTo: <sip:alice@example.com>\r\nCall-ID: c\r\nCSeq: %[1]d REGISTER\r\n"+
						"Contact: %s\r\nExpires: %s\r\nContent-Length: 0\r\n\r\n", cseq, contact, expires))
					x.f = f
					s.Serve(x, nil)
					if answer := <-x.answer; answer[:11] != "SIP/2.0 200" {
						t.Fatal(answer)
					}
				}
				register(plain+phone, "600", 1, overTCP(1))
				first := ids[0]
				got, ids = nil, nil
				time.Sleep(time.Second)
				if tc.fast {
					w := r.NewRefresh()
					w.Contact = tc.contacts
					w.Input = Input{AOR: "sip:alice@example.com", CallID: "c", CSeq: 2, Now: time.Now(), Flow: tc.flow, Expires: ParseExpires(tc.expires)}
					if _, touched := w.Try(store, nil, nil); touched != usrloc.TouchDone {
						t.Fatalf("Try = %v", touched)
					}
				} else {
					register(tc.contacts, tc.expires, 2, tc.flow)
				}
				if !slices.Equal(got, tc.want) {
					t.Errorf("held %v, want %v", got, tc.want)
				}
				for _, id := range ids {
					if id != first {
						t.Errorf("held for %s, want %s", id, first)
					}
				}
			})
		})
	}
}
