package proxy

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"reveille/flow"
	"reveille/usrloc"
)

// registerAs stores a binding of a phone without instance and push data, as REGISTER
// number cseq of a Call-ID.
func (w *world) registerAs(p *phone, callID string, cseq uint32) {
	w.t.Helper()
	w.with(func() { w.alive[p.flow] = true })
	now := time.Now()
	w.store.Update(context.Background(), p.aor, func(r usrloc.Record) (usrloc.Record, error) {
		r.Bindings = append(append([]usrloc.Binding(nil), r.Bindings...), usrloc.Binding{
			ID: p.id, Contact: p.contact(), Q: usrloc.QUnset, CallID: callID, CSeq: cseq, Created: now, Updated: now,
			Expires: now.Add(time.Hour), RetainUntil: now.Add(time.Hour), Flow: p.flow,
		})
		return r, nil
	}, func(_ usrloc.Record, _ []usrloc.Change, err error) {
		if err != nil {
			w.t.Errorf("register: %v", err)
		}
	})
	synctest.Wait()
}

// A phone without instance and push token gets another address inside a call.
func TestInDialog_PhoneWithoutInstanceMoves_RFC3261_10_2(t *testing.T) {
	tests := []struct {
		name   string
		from   flow.Flow
		callID string
		cseq   uint32
		want   string
	}{
		{"it registers from there", udp("198.51.100.1:5060"), "boot-1", 2, "198.51.100.1:6000"},
		{"another phone registers", udp("198.51.100.1:5060"), "other", 2, "198.51.100.1:5060"},
		{"two contacts of one REGISTER", udp("198.51.100.1:5060"), "boot-1", 1, "198.51.100.1:5060"},
		{"its connection lives on", tcp("198.51.100.1:5060", 1), "boot-1", 2, "198.51.100.1:5060"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, Options{Fork: FirstOnly}, func(w *world) {
				p := w.newPhone("alice", tt.from, "")
				w.registerAs(p, "boot-1", 1)
				ok := w.call(p, "c1")
				second := w.newPhone("alice", udp("198.51.100.1:6000"), "")
				w.registerAs(second, tt.callID, tt.cseq)
				w.recv(caller, inDialogRequest("INVITE", 2, ok, true, "sip:alice@198.51.100.1:5060", "Contact: <sip:bob@203.0.113.9:5060>"))
				w.reply(w.expect("INVITE " + tt.want)[0], 200, "Contact: <sip:alice@198.51.100.1:6000>")
				w.expect("200 203.0.113.9:5060")
				w.recv(caller, inDialogRequest("ACK", 2, ok, true, "sip:alice@198.51.100.1:5060"))
				w.expect("ACK " + tt.want)
				w.recv(caller, inDialogRequest("BYE", 3, ok, true, "sip:alice@198.51.100.1:5060"))
				w.reply(w.expect("BYE " + tt.want)[0], 200)
				w.expect("200 203.0.113.9:5060")
			})
		})
	}
}
