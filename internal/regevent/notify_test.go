package regevent

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"reveille/internal/sipmsg"
	"reveille/usrloc"
)

func TestNotify_Failures_RFC6665_4_2_2(t *testing.T) {
	tests := []struct {
		code int
		ends bool
	}{{481, true}, {404, true}, {489, true}, {604, true}, {500, false}, {403, false}, {503, false}, {430, false}}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.code), func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.recv(subscriber(), subscribe(alice, "s1", 1))
				w.answer(w.expect("200", "NOTIFY")[1], tt.code)
				if ended := w.n.Subscriptions() == 0; ended != tt.ends {
					t.Fatalf("ended: %v, want %v", ended, tt.ends)
				}
				// It is not sent again for its own sake.
				time.Sleep(time.Minute)
				w.expect()
				w.register(alice, w.binding(alice, udp("198.51.100.1:5060")))
				if tt.ends {
					w.expect()
					return
				}
				// What the subscriber has is not known, so it gets all.
				n := w.expect("NOTIFY")[0]
				if got := w.summary(n); got != "full 1 active c1=active/registered" {
					t.Errorf("document: %s", got)
				}
				w.answer(n, 200)
			})
		})
	}
}

func TestNotify_RetryAfter_RFC3261_20_33(t *testing.T) {
	inWorld(t, func(w *world) {
		w.recv(subscriber(), subscribe(alice, "s1", 1))
		w.answer(w.expect("200", "NOTIFY")[1], 500, sipmsg.HeaderField{Name: "Retry-After", Value: "60 (busy)"})
		time.Sleep(30 * time.Second)
		w.register(alice, w.binding(alice, udp("198.51.100.1:5060")))
		time.Sleep(29 * time.Second)
		w.expect()
		time.Sleep(time.Second)
		n := w.expect("NOTIFY")[0]
		if got := w.summary(n); got != "full 1 active c1=active/registered" {
			t.Errorf("document: %s", got)
		}
		w.answer(n, 200)
	})
}

func TestNotify_SilenceEndsIt_RFC6665_4_2_2(t *testing.T) {
	inWorld(t, func(w *world) {
		w.recv(subscriber(), subscribe(alice, "s1", 1))
		time.Sleep(33 * time.Second)
		if n := w.n.Subscriptions(); n != 0 {
			t.Errorf("%d subscriptions after Timer F", n)
		}
		w.take()
	})
}

// A phone that sleeps is not woken for this, and not given up either: when it is
// back it learns what is true then.
func TestNotify_PhoneThatSleeps_RFC8599(t *testing.T) {
	for _, tt := range []struct {
		name string
		// falls makes the phone on a flow fall asleep.
		falls func(w *world, b usrloc.Binding)
		lost  int // documents that it did not read
	}{
		{name: "known to sleep", falls: func(w *world, b usrloc.Binding) { w.mu.Lock(); w.dead[b.Flow] = true; w.mu.Unlock() }},
		{name: "sleeps unknown to us", falls: func(*world, usrloc.Binding) {}, lost: 1},
		{name: "with a connection that fails", falls: func(w *world, b usrloc.Binding) { w.mu.Lock(); w.mute[b.Flow] = true; w.mu.Unlock() }, lost: 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				phone := w.binding(alice, tcp("198.51.100.1:40000", 1))
				w.register(alice, phone)
				w.begin(phone.Flow, subscribe(alice, "s1", 1))
				time.Sleep(10 * time.Second)
				tt.falls(w, phone)
				other := w.binding(alice, udp("198.51.100.2:5060"))
				w.register(alice, other)
				time.Sleep(time.Minute)
				w.take()
				// Nothing is sent, and nothing gathers, while it sleeps.
				for range 2 * maxNews {
					b := w.binding(alice, udp("198.51.100.3:5060"))
					w.register(alice, b)
					w.remove(alice, usrloc.CauseRegister, b)
				}
				w.expect()
				w.n.lanes.Range(func(_, l any) bool {
					for _, s := range l.(*lane).subscriptions {
						if n := len(s.contacts.order); n > maxNews {
							t.Errorf("%d contacts wait", n)
						}
					}
					return true
				})
				phone.Flow, phone.CSeq = tcp("198.51.100.1:40001", 2), 2
				w.register(alice, phone)
				n := w.expect("NOTIFY")[0]
				if n.flow != phone.Flow {
					t.Errorf("sent on %v, want the new flow", n.flow)
				}
				if got := w.summary(n); !strings.HasPrefix(got, fmt.Sprintf("full %d active c1=active/", 1+tt.lost)) || len(read(t, n.m.Body()).Registration.Contacts) != 2 {
					t.Errorf("document: %s", got)
				}
				w.answer(n, 200)
			})
		})
	}
}

// A watcher's phone is found by its own registration.
func TestNotify_PhoneOfAWatcher(t *testing.T) {
	inWorld(t, func(w *world) {
		w.settings.Watchers = []usrloc.AOR{bob}
		if err := w.n.Reload(w.settings); err != nil {
			t.Fatal(err)
		}
		phone := w.binding(bob, tcp("198.51.100.1:40000", 1))
		w.register(bob, phone)
		w.sender = Sender{User: bob}
		w.begin(phone.Flow, subscribe(alice, "s1", 1, "From: <sip:bob@example.com>;tag=f"))
		w.dead[phone.Flow] = true
		time.Sleep(10 * time.Second)
		w.register(alice, w.binding(alice, udp("198.51.100.2:5060")))
		w.expect()
		phone.Flow = tcp("198.51.100.1:40001", 2)
		w.register(bob, phone)
		n := w.expect("NOTIFY")[0]
		if n.flow != phone.Flow {
			t.Errorf("sent on %v", n.flow)
		}
		w.answer(n, 200)
		if len(w.dials) != 0 {
			t.Errorf("connected to %v", w.dials)
		}
	})
}

// Users who have no phone registered have their flow alone: a Contact does not make
// us send to others.
func TestNotify_NoConnectionToWhereUsersLike(t *testing.T) {
	inWorld(t, func(w *world) {
		f := tcp("198.51.100.9:40000", 1)
		w.begin(f, subscribe(alice, "s1", 1, "Contact: <sip:victim@203.0.113.1>"))
		w.dead[f] = true
		time.Sleep(10 * time.Second)
		w.register(alice, w.binding(alice, udp("198.51.100.1:5060")))
		w.expect()
		if len(w.dials) != 0 {
			t.Errorf("connected to %v", w.dials)
		}
	})
}

func TestNotify_PeersAreCalledBack_RFC3261_12_2_1_1(t *testing.T) {
	inWorld(t, func(w *world) {
		w.settings.Trusted = true
		if err := w.n.Reload(w.settings); err != nil {
			t.Fatal(err)
		}
		w.sender = Sender{Trusted: true}
		// Over UDP at its Contact, whatever port it sent from.
		_, n := w.begin(udp("198.51.100.9:33333"), subscribe(alice, "a", 1, "Contact: <sip:as@198.51.100.9>"))
		if n.flow.Remote.Port() != 5060 {
			t.Errorf("sent to %v", n.flow)
		}
		// On its connection, and on a new one by its Record-Route when that is gone.
		f := tcp("198.51.100.9:40000", 1)
		_, n = w.begin(f, subscribe(alice, "b", 1, "Record-Route: <sip:203.0.113.5;lr>, <sip:203.0.113.6;lr>"))
		if n.flow != f {
			t.Errorf("sent on %v, want its connection", n.flow)
		}
		if got := n.m.Routes(); len(got) != 2 || got[0].URI.Host != "203.0.113.5" {
			t.Errorf("Route: %v", got)
		}
		w.dead[f] = true
		w.dials = nil
		time.Sleep(10 * time.Second)
		w.register(alice, w.binding(alice, udp("198.51.100.1:5060")))
		for _, n := range w.expect("NOTIFY", "NOTIFY") {
			w.answer(n, 200)
		}
		if fmt.Sprint(w.dials) != "[198.51.100.9 203.0.113.5]" && fmt.Sprint(w.dials) != "[203.0.113.5 198.51.100.9]" {
			t.Errorf("connected to %v", w.dials)
		}
		// One that cannot be found is given up.
		w.recv(subscriber(), subscribe(alice, "c", 1, "Contact: <sip:as@nowhere.invalid>"))
		w.expect("200")
		if n := w.n.Subscriptions(); n != 2 {
			t.Errorf("%d subscriptions, want 2", n)
		}
	})
}

func TestNotify_StrictRouter_RFC3261_12_2_1_1(t *testing.T) {
	inWorld(t, func(w *world) {
		_, n := w.begin(subscriber(), subscribe(alice, "a", 1, "Record-Route: <sip:203.0.113.5>, <sip:203.0.113.6;lr>"))
		routes := n.m.Routes()
		if n.m.RequestURI().String() != "sip:203.0.113.5" || len(routes) != 2 || routes[1].URI.String() != "sip:watcher@198.51.100.9:5060" {
			t.Errorf("NOTIFY:\n%s", n.m.Raw())
		}
	})
}

// Nobody pays for what nobody watches.
func TestNotify_OthersAreNotWatched(t *testing.T) {
	inWorld(t, func(w *world) {
		w.begin(subscriber(), subscribe(alice, "s1", 1))
		if w.watch != 1 {
			t.Errorf("%d watches, want 1", w.watch)
		}
		time.Sleep(10 * time.Second)
		w.register(bob, w.binding(bob, udp("198.51.100.1:5060")))
		w.expect()
	})
}
