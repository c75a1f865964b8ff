package registrar

import (
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
				note := func(f flow.Flow, until time.Time) { got = append(got, held{f, time.Until(until)}) }
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
