package proxy

import (
	"crypto/rand"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"reveille/internal/sipmsg"
	"reveille/push"
	"reveille/usrloc"
)

// lapse ends the phone's registration, as the refresher does for a device that is
// kept.
func (w *world) lapse(p *phone) {
	w.store.Update(w.t.Context(), p.aor, func(r usrloc.Record) (usrloc.Record, error) {
		r.Bindings, r.Cause = slices.Clone(r.Bindings), usrloc.CauseExpiry
		if b := r.Find(p.id); b != nil {
			b.Expires, b.RetainUntil = time.Now(), time.Now().Add(24*time.Hour)
		}
		return r, nil
	}, func(_ usrloc.Record, _ []usrloc.Change, err error) {
		if err != nil {
			w.t.Error(err)
		}
	})
	synctest.Wait()
}

func TestDormant_IsWokenByACall_RFC8599_5_5(t *testing.T) {
	for _, method := range []string{"INVITE", "MESSAGE"} {
		inWorld(t, Options{Dormant: true}, func(w *world) {
			p := w.newPhone("alice", udp("198.51.100.1:5060"), "fcm")
			w.register(p)
			w.lapse(p)
			w.recv(caller, request(method, "sip:alice@example.com", "c1"))
			w.outcome(w.pushCount(1), push.OK)
			// Only a REGISTER brings it back: its flow may be another's.
			time.Sleep(10 * time.Second)
			w.expect()
			p.flow = udp("198.51.100.7:40000")
			w.register(p)
			w.reply(w.expect(method + " 198.51.100.7:40000")[0], 200)
			w.expect("200 203.0.113.9:5060")
		})
	}
}

func TestDormant_OffByDefault_RFC8599_5_5(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		p := w.newPhone("alice", udp("198.51.100.1:5060"), "fcm")
		w.register(p)
		w.lapse(p)
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		w.pushCount(0)
		w.expect("480 203.0.113.9:5060")
	})
}

// What cannot be woken, or is not worth it, is not there.
func TestDormant_IsNoTargetWithoutAPush(t *testing.T) {
	for name, tt := range map[string]struct {
		method   string
		provider string
	}{
		"no token":                 {"INVITE", ""},
		"a method that wakes none": {"OPTIONS", "fcm"},
		"no credential":            {"INVITE", "gone"},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, Options{Dormant: true}, func(w *world) {
				w.with(func() { w.cannot["gone"] = true })
				p := w.newPhone("alice", udp("198.51.100.1:5060"), tt.provider)
				w.register(p)
				w.lapse(p)
				w.recv(caller, request(tt.method, "sip:alice@example.com", "c1"))
				w.pushCount(0)
				w.expect("480 203.0.113.9:5060")
			})
		})
	}
}

// A phone that is registered comes before what is left of its last registration.
func TestDormant_BehindTheSameDeviceRegistered(t *testing.T) {
	inWorld(t, Options{Dormant: true}, func(w *world) {
		old := w.newPhone("alice", udp("198.51.100.1:5060"), "fcm")
		old.regID = 1
		w.register(old)
		w.lapse(old)
		p := w.newPhone("alice", udp("198.51.100.2:5060"), "fcm")
		p.instance, p.push, p.regID = old.instance, old.push, 2
		w.register(p)
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		w.expect("INVITE 198.51.100.2:5060")
		w.pushCount(0)
	})
}

// A registration that ends while a request waits for its device does not end the
// wait, if the device is kept.
func TestDormant_FallsAsleepWhileACallWaits(t *testing.T) {
	inWorld(t, Options{Dormant: true}, func(w *world) {
		p := w.sleeper("198.51.100.1:5060")
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		w.pushCount(1)
		w.lapse(p)
		w.expect()
		p.flow = udp("198.51.100.7:40000")
		w.register(p)
		w.expect("INVITE 198.51.100.7:40000")
	})
}

func TestDormant_IsWokenInADialog(t *testing.T) {
	inWorld(t, Options{Dormant: true}, func(w *world) {
		p := w.newPhone("alice", udp("198.51.100.1:5060"), "fcm")
		w.register(p)
		answer := w.call(p, "c1")
		w.lapse(p)
		w.recv(caller, inDialogRequest("BYE", 2, answer, true, "sip:alice@198.51.100.1:5060"))
		w.expect()
		w.pushCount(1)
		p.flow = udp("198.51.100.7:40000")
		w.register(p)
		w.expect("BYE 198.51.100.7:40000")
	})
}

// Nobody calls from a registration that has ended.
func TestDormant_IsNoRegisteredCaller(t *testing.T) {
	o := Options{Dormant: true, RegisteredCallers: true}
	inWorld(t, o, func(w *world) {
		w.admit = func(*sipmsg.Message) Admission { return Admission{User: "sip:bob@example.com"} }
		p := w.newPhone("bob", caller, "fcm")
		w.register(p)
		w.lapse(p)
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		w.expect("403 203.0.113.9:5060")
	})
}

// A stranger who has the address of a phone that is dormant is not that phone.
func TestDormant_IsNotTheCallerAtItsAddress(t *testing.T) {
	inWorld(t, Options{Dormant: true, Domains: []string{"example.com", "example.net"}}, func(w *world) {
		bob := w.newPhone("bob", caller, "fcm")
		bob.aor = "sip:bob@example.net"
		id, err := usrloc.NewBindingID(bob.aor, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		bob.id = id
		w.register(bob)
		w.lapse(bob)
		alice := w.newPhone("alice", udp("198.51.100.1:5060"), "")
		w.register(alice)
		answer := w.call(alice, "c1")
		w.recv(alice.flow, inDialogRequest("BYE", 2, answer, false, "sip:bob@203.0.113.9:5060"))
		w.expect("BYE 203.0.113.9:5060")
		w.pushCount(0)
	})
}

// What is left of a registration says nothing of the methods that are taken.
func TestDormant_MethodsDoNotCount(t *testing.T) {
	inWorld(t, Options{MethodFilter: true}, func(w *world) {
		p := w.newPhone("alice", udp("198.51.100.1:5060"), "fcm")
		p.methods = usrloc.MethodMessage
		w.register(p)
		w.lapse(p)
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		w.expect("480 203.0.113.9:5060")
	})
}
