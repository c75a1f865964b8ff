package regevent

import (
	"context"
	"strings"
	"testing"
	"time"

	"reveille/internal/sipmsg"
	"reveille/usrloc"
)

func TestSubscribe_StateAtOnceAndChanges_RFC3680_6(t *testing.T) {
	inWorld(t, func(w *world) {
		w.recv(subscriber(), subscribe(alice, "s1", 1, "Event: reg;id=7", "Accept: application/reginfo+xml"))
		list := w.expect("200", "NOTIFY")
		ok, first := list[0].m, list[1]
		if v, _ := ok.Expires(); v != "3761" {
			t.Errorf("Expires %q, want the default of RFC 3680 §4.4", v)
		}
		if ok.ToTag() == "" || len(ok.Contacts()) != 1 {
			t.Errorf("the 200 begins no dialog:\n%s", ok.Raw())
		}
		n := first.m
		if n.CallID() != "s1" || n.FromTag() != ok.ToTag() || n.ToTag() != "f" || n.RequestURI().String() != "sip:watcher@198.51.100.9:5060" {
			t.Errorf("not in the dialog:\n%s", n.Raw())
		}
		if v, _ := n.Header(sipmsg.HdrEvent); v != "reg;id=7" {
			t.Errorf("Event %q", v)
		}
		if got := state(first); got != "active;expires=3761" {
			t.Errorf("Subscription-State %q", got)
		}
		if got := w.summary(first); got != "full 0 init" {
			t.Errorf("first document: %s", got)
		}
		w.answer(first, 200)
		time.Sleep(10 * time.Second)
		b := w.binding(alice, udp("198.51.100.1:5060"))
		w.register(alice, b)
		second := w.expect("NOTIFY")[0]
		if got := w.summary(second); got != "partial 1 active c1=active/registered" {
			t.Errorf("second document: %s", got)
		}
		if second.m.CSeq().Seq <= n.CSeq().Seq {
			t.Errorf("CSeq %d after %d", second.m.CSeq().Seq, n.CSeq().Seq)
		}
		w.answer(second, 200)
		// Contacts that do not change are not told again.
		time.Sleep(10 * time.Second)
		other := w.binding(alice, udp("198.51.100.2:5060"))
		w.register(alice, other)
		third := w.expect("NOTIFY")[0]
		if got := w.summary(third); got != "partial 2 active c2=active/registered" {
			t.Errorf("third document: %s", got)
		}
		w.answer(third, 200)
		time.Sleep(10 * time.Second)
		w.change(alice, usrloc.CauseRegister, func([]usrloc.Binding) []usrloc.Binding { return nil })
		last := w.expect("NOTIFY")[0]
		if got := w.summary(last); got != "partial 3 terminated c1=terminated/unregistered c2=terminated/unregistered" {
			t.Errorf("last document: %s", got)
		}
		w.answer(last, 200)
		// The way back to init is no news (§4.7.1).
		time.Sleep(10 * time.Second)
		w.expect()
	})
}

func TestSubscribe_OneNotificationIn5s_RFC3680_4_10(t *testing.T) {
	inWorld(t, func(w *world) {
		b := w.binding(alice, udp("198.51.100.1:5060"))
		w.register(alice, b)
		w.begin(subscriber(), subscribe(alice, "s1", 1))
		began := time.Now()
		gone := w.binding(alice, udp("198.51.100.2:5060"))
		w.register(alice, gone)
		b.CSeq++
		w.register(alice, b)
		w.remove(alice, usrloc.CauseRegister, gone)
		time.Sleep(time.Until(began.Add(5*time.Second - time.Millisecond)))
		w.expect()
		time.Sleep(time.Millisecond)
		n := w.expect("NOTIFY")[0]
		// The latest that happened to each.
		if got := w.summary(n); got != "partial 1 active c1=active/refreshed c2=terminated/unregistered" {
			t.Errorf("document: %s", got)
		}
		// What changes while the answer is waited for comes after it.
		time.Sleep(6 * time.Second)
		w.take() // retransmissions
		w.remove(alice, usrloc.CauseOperator, b)
		w.answer(n, 200)
		n = w.expect("NOTIFY")[0]
		if got := w.summary(n); got != "partial 2 terminated c1=terminated/deactivated" {
			t.Errorf("document: %s", got)
		}
		w.answer(n, 200)
	})
}

func TestSubscribe_RefreshesByConfiguration_RFC3680_4_7_2(t *testing.T) {
	inWorld(t, func(w *world) {
		w.settings.Refreshes = false
		if err := w.n.Reload(w.settings); err != nil {
			t.Fatal(err)
		}
		b := w.binding(alice, udp("198.51.100.1:5060"))
		w.register(alice, b)
		w.begin(subscriber(), subscribe(alice, "s1", 1))
		time.Sleep(10 * time.Second)
		b.CSeq, b.Expires = 2, b.Expires.Add(time.Minute)
		w.register(alice, b)
		w.expect()
		b.CSeq, b.Contact = 3, "sip:alice@198.51.100.1:6000"
		w.register(alice, b)
		n := w.expect("NOTIFY")[0]
		if got := w.summary(n); got != "partial 1 active c1=active/refreshed" {
			t.Errorf("moved: %s", got)
		}
		w.answer(n, 200)
	})
}

func TestSubscribe_RefreshAndEnd_RFC6665_4_2_1_4(t *testing.T) {
	inWorld(t, func(w *world) {
		w.register(alice, w.binding(alice, udp("198.51.100.1:5060")))
		ok, _ := w.begin(subscriber(), subscribe(alice, "s1", 1, "Expires: 600"))
		time.Sleep(500 * time.Second)
		// The subscriber has moved; it is told where it is now, all there is.
		w.recv(subscriber(), again(ok, 2, "Expires: 600", "Contact: <sip:moved@198.51.100.8>"))
		list := w.expect("200", "NOTIFY")
		if v, _ := list[0].m.Expires(); v != "600" {
			t.Errorf("Expires %q", v)
		}
		if got := list[1].m.RequestURI().String(); got != "sip:moved@198.51.100.8" {
			t.Errorf("NOTIFY to %s", got)
		}
		if got := w.summary(list[1]); got != "full 1 active c1=active/registered" {
			t.Errorf("document: %s", got)
		}
		w.answer(list[1], 200)
		time.Sleep(599 * time.Second)
		w.expect()
		time.Sleep(time.Second)
		last := w.expect("NOTIFY")[0]
		if got := state(last); got != "terminated;reason=timeout" {
			t.Errorf("Subscription-State %q", got)
		}
		w.answer(last, 200)
		w.recv(subscriber(), again(ok, 3, "Expires: 600"))
		w.expect("481")
	})
}

func TestSubscribe_Unsubscribe_RFC6665_4_1_2_3(t *testing.T) {
	inWorld(t, func(w *world) {
		w.register(alice, w.binding(alice, udp("198.51.100.1:5060")))
		ok, _ := w.begin(subscriber(), subscribe(alice, "s1", 1))
		w.recv(subscriber(), again(ok, 2, "Expires: 0"))
		list := w.expect("200", "NOTIFY")
		if got := state(list[1]); got != "terminated;reason=timeout" {
			t.Errorf("Subscription-State %q", got)
		}
		if got := w.summary(list[1]); got != "full 1 active c1=active/registered" {
			t.Errorf("document: %s", got)
		}
		w.answer(list[1], 200)
		if n := w.n.Subscriptions(); n != 0 {
			t.Errorf("%d subscriptions", n)
		}
	})
}

func TestSubscribe_Fetch_RFC3680_4_7_2(t *testing.T) {
	inWorld(t, func(w *world) {
		w.register(alice, w.binding(alice, udp("198.51.100.1:5060")))
		w.recv(subscriber(), subscribe(alice, "s1", 1, "Expires: 0"))
		list := w.expect("200", "NOTIFY")
		if got := w.summary(list[1]) + " " + state(list[1]); got != "full 0 active c1=active/registered terminated;reason=timeout" {
			t.Errorf("%s", got)
		}
		w.answer(list[1], 200)
	})
}

// Of every SUBSCRIBE the one thing that is not so well with it decides.
func TestSubscribe_Refused(t *testing.T) {
	stranger := Sender{User: bob}
	tests := []struct {
		name   string
		text   string
		sender *Sender
		want   string
		header sipmsg.HeaderField
	}{
		{name: "too brief_RFC6665_4_2_1_1", text: subscribe(alice, "x", 1, "Expires: 10"), want: "423", header: sipmsg.HeaderField{Name: "Min-Expires", Value: "60"}},
		{name: "no number", text: subscribe(alice, "x", 1, "Expires: soon"), want: "400"},
		{name: "another format_RFC3680_4_5", text: subscribe(alice, "x", 1, "Accept: application/pidf+xml"), want: "406", header: sipmsg.HeaderField{Name: "Accept", Value: contentType}},
		{name: "another package_RFC6665_4_2_1_1", text: subscribe(alice, "x", 1, "Event: presence"), want: "489"},
		{name: "no package_RFC6665_4_2_3", text: strings.Replace(subscribe(alice, "x", 1), "Event: reg\r\n", "", 1), want: "489"},
		{name: "two packages", text: subscribe(alice, "x", 1, "Event: reg, presence"), want: "489"},
		{name: "an extension that we lack_RFC3261_8_2_2_3", text: subscribe(alice, "x", 1, "Require: eventlist"), want: "420", header: sipmsg.HeaderField{Name: "Unsupported", Value: "eventlist"}},
		{name: "no Contact", text: strings.Replace(subscribe(alice, "x", 1), "Contact: <sip:watcher@198.51.100.9:5060>\r\n", "", 1), want: "400"},
		{name: "another user_RFC6665_6_2", text: subscribe(alice, "x", 1), sender: &stranger, want: "403"},
		{name: "another user, who does not exist_RFC6665_6_2", text: subscribe("sip:nobody@example.com", "x", 1), sender: &stranger, want: "403"},
		{name: "nobody_RFC3680_4_6", text: subscribe(alice, "x", 1), sender: &Sender{}, want: "403"},
		{name: "a peer, where peers may not", text: subscribe(alice, "x", 1), sender: &Sender{Trusted: true}, want: "403"},
		{name: "who has to log in", text: subscribe(alice, "x", 1), sender: &Sender{Refusal: &sipmsg.Reply{Code: 401}}, want: "401"},
		{name: "no such dialog_RFC6665_4_1_2_2", text: subscribe("sip:192.0.2.1:5060", "x", 1, "To: <sip:alice@example.com>;tag=lost"), want: "481"},
		{name: "a device_RFC5627", text: subscribe("sip:alice@example.com;gr=urn:x:1", "x", 1), want: "489"},
		{name: "by a way of others", text: subscribe(alice, "x", 1, "Route: <sip:198.51.100.77;lr>"), want: "489"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				if tt.sender != nil {
					w.sender = *tt.sender
				}
				w.recv(subscriber(), tt.text)
				m := w.expect(tt.want)[0].m
				if v, _ := m.HeaderNamed(tt.header.Name); v != tt.header.Value {
					t.Errorf("%s: %q, want %q", tt.header.Name, v, tt.header.Value)
				}
			})
		})
	}
}

func TestSubscribe_WhoMayWatch_RFC3680_4_6(t *testing.T) {
	tests := []struct {
		name   string
		sender Sender
		aor    usrloc.AOR
		from   string
		ok     bool
	}{
		{name: "the user", sender: Sender{User: alice}, aor: alice, ok: true},
		{name: "another user", sender: Sender{User: bob}, aor: alice},
		{name: "a user with a second address", sender: Sender{User: bob, May: func(a usrloc.AOR) bool { return a == alice }}, aor: alice, ok: true},
		{name: "a watcher", sender: Sender{User: "sip:boss@example.com"}, aor: alice, ok: true},
		{name: "a peer", sender: Sender{Trusted: true}, aor: alice, ok: true},
		{name: "a phone without password on its flow", aor: alice, from: "198.51.100.1:5060", ok: true},
		{name: "a phone without password elsewhere", aor: alice, from: "198.51.100.2:5060"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.settings.Watchers, w.settings.Trusted = []usrloc.AOR{"sip:boss@example.com"}, true
				if err := w.n.Reload(w.settings); err != nil {
					t.Fatal(err)
				}
				w.register(alice, w.binding(alice, udp("198.51.100.1:5060")))
				w.sender = tt.sender
				f := subscriber()
				if tt.from != "" {
					f = udp(tt.from)
				}
				w.recv(f, subscribe(tt.aor, "s1", 1))
				if !tt.ok {
					w.expect("403")
					return
				}
				list := w.expect("200", "NOTIFY")
				w.answer(list[1], 200)
				// Nobody but the user learns temporary GRUUs, and nobody push data.
				body := list[1].m.Body()
				if self := tt.sender.User == alice || tt.sender.May != nil || tt.from != ""; strings.Contains(body, "temp-gruu") != self {
					t.Errorf("temporary GRUU: %v, want %v\n%s", !self, self, body)
				}
				if !strings.Contains(body, "pub-gruu") || strings.Contains(body, "pn-") || strings.Contains(body, "SECRET") {
					t.Errorf("document:\n%s", body)
				}
			})
		})
	}
}

func TestSubscribe_UnknownUser_RFC3261_21_4_5(t *testing.T) {
	inWorld(t, func(w *world) {
		w.settings.Trusted = true
		if err := w.n.Reload(w.settings); err != nil {
			t.Fatal(err)
		}
		w.sender = Sender{Trusted: true}
		w.recv(subscriber(), subscribe("sip:nobody@example.com", "s1", 1))
		w.expect("404")
	})
}

// Whoever has seen the dialog cannot turn it to himself.
func TestSubscribe_DialogIsNobodyElses(t *testing.T) {
	inWorld(t, func(w *world) {
		ok, _ := w.begin(subscriber(), subscribe(alice, "s1", 1))
		for i, thief := range []Sender{{User: bob}, {}, {Trusted: true}} {
			w.sender = thief
			w.recv(udp("203.0.113.66:5060"), again(ok, 2+i, "Contact: <sip:thief@203.0.113.66>"))
			w.expect("403")
		}
		w.sender = Sender{User: alice}
		w.recv(subscriber(), again(ok, 9))
		w.answer(w.expect("200", "NOTIFY")[1], 200)
		w.recv(subscriber(), again(ok, 8))
		w.expect("500")
		// Another id would be another subscription in the dialog.
		w.recv(subscriber(), again(ok, 10, "Event: reg;id=2"))
		w.expect("481")
	})
}

func TestSubscribe_Bounds(t *testing.T) {
	inWorld(t, func(w *world) {
		w.settings.Trusted = true
		if err := w.n.Reload(w.settings); err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{"a", "b", "c"} {
			w.begin(subscriber(), subscribe(alice, id, 1))
		}
		w.recv(subscriber(), subscribe(alice, "d", 1))
		m := w.expect("480")[0].m
		if v, _ := m.Header(sipmsg.HdrRetryAfter); v != "10" {
			t.Errorf("Retry-After %q", v)
		}
		w.sender = Sender{Trusted: true}
		w.begin(subscriber(), subscribe(bob, "e", 1))
		w.begin(subscriber(), subscribe(bob, "f", 1))
		w.recv(subscriber(), subscribe(bob, "g", 1))
		w.expect("480")
		if n := w.n.Subscriptions(); n != 5 {
			t.Errorf("%d subscriptions, want 5", n)
		}
	})
}

func TestReload_RightsThatAreGone_RFC6665_4_1_3(t *testing.T) {
	inWorld(t, func(w *world) {
		w.settings.Watchers = []usrloc.AOR{bob}
		if err := w.n.Reload(w.settings); err != nil {
			t.Fatal(err)
		}
		w.begin(subscriber(), subscribe(alice, "own", 1))
		w.sender = Sender{User: bob}
		w.begin(udp("198.51.100.8:5060"), subscribe(alice, "others", 1))
		w.settings.Watchers = nil
		if err := w.n.Reload(w.settings); err != nil {
			t.Fatal(err)
		}
		n := w.expect("NOTIFY")[0]
		if n.m.CallID() != "others" || state(n) != "terminated;reason=rejected" || n.m.Body() != "" {
			t.Errorf("NOTIFY:\n%s", n.m.Raw())
		}
		w.answer(n, 200)
		w.settings.Enabled = false
		if err := w.n.Reload(w.settings); err != nil {
			t.Fatal(err)
		}
		if n = w.expect("NOTIFY")[0]; n.m.CallID() != "own" || state(n) != "terminated;reason=rejected" {
			t.Errorf("NOTIFY:\n%s", n.m.Raw())
		}
		w.answer(n, 200)
		w.recv(subscriber(), subscribe(alice, "refused", 1))
		w.expect("489")
		if err := w.n.Reload(Settings{}); err == nil {
			t.Error("Settings without anything were taken")
		}
	})
}

// A sender may be looked up for a while, and the configuration be another one then.
func TestReload_NobodySubscribesWhoWasBeingLookedUp(t *testing.T) {
	inWorld(t, func(w *world) {
		w.lookedUp = func() {
			w.settings.Enabled = false
			if err := w.n.Reload(w.settings); err != nil {
				t.Error(err)
			}
		}
		w.recv(subscriber(), subscribe(alice, "late", 1))
		w.expect("489")
		if n := w.n.Subscriptions(); n != 0 {
			t.Errorf("%d subscriptions, want none", n)
		}
	})
}

func TestStop_SubscribersComeBackLater_RFC6665_4_1_3(t *testing.T) {
	inWorld(t, func(w *world) {
		for _, id := range []string{"a", "b", "c"} {
			w.begin(subscriber(), subscribe(alice, id, 1))
		}
		w.n.Stop(context.Background())
		for _, n := range w.expect("NOTIFY", "NOTIFY", "NOTIFY") {
			if !strings.HasPrefix(state(n), "terminated;reason=probation;retry-after=") {
				t.Errorf("Subscription-State %q", state(n))
			}
		}
		// Nobody waits for their answers.
		if err := w.layer.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
}
