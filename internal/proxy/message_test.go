package proxy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"reveille/internal/mailbox"
	"reveille/internal/sipmsg"
	"reveille/push"
	"reveille/usrloc"
)

// A post is a world with a mailbox.
type post struct {
	*world
	*mailbox.Box
	fail error // what Keep says, if anything
	// late is how much later Keep says it.
	late time.Duration
}

func (p *post) Keep(m mailbox.Message, done func(mailbox.Ticket, error)) {
	if p.fail != nil {
		done(mailbox.Ticket{}, p.fail)
		return
	}
	if late := p.late; late > 0 {
		say := done
		done = func(t mailbox.Ticket, err error) { time.AfterFunc(late, func() { say(t, err) }) }
	}
	p.Box.Keep(m, done)
}

func (p *post) Carry(m mailbox.Message, done func(mailbox.Outcome)) {
	p.proxy.Carry(p.layer.Queue(m.CallID), m, done)
}

func (p *post) Behind(callID string, fn func()) { p.layer.Queue(callID).Post(fn) }

// withMail runs fn in a world whose trusted senders may have messages kept.
func withMail(t *testing.T, o Options, fn func(p *post)) {
	t.Helper()
	p := &post{}
	o.Messages.Box = p
	inWorld(t, o, func(w *world) {
		p.world = w
		w.admit = func(*sipmsg.Message) Admission { return Admission{Trusted: true} }
		var err error
		p.Box, err = mailbox.New(mailbox.Options{
			Dir: w.t.TempDir(), NoSync: true, Store: w.store, Sink: w,
			Limits: mailbox.Limits{Bytes: 1 << 20, Users: 10, UserMessages: 5, UserBytes: 1 << 16},
		})
		if err != nil {
			w.t.Fatal(err)
		}
		defer func() {
			if err := p.Box.Stop(context.Background()); err != nil {
				w.t.Error(err)
			}
		}()
		p.Start(p)
		fn(p)
		// Whatever a phone does, no delivery is left behind.
		time.Sleep(time.Minute)
		w.take()
	})
}

// wakes has a phone come back at another address.
func (p *post) wakes(ph *phone) {
	p.t.Helper()
	ph.flow = udp("198.51.100.7:40000")
	p.register(ph)
}

// text is a MESSAGE to alice.
func text(callID string, extra ...string) string {
	return strings.Replace(request("MESSAGE", "sip:alice@example.com", callID, append(extra, "Content-Type: text/plain")...), "Content-Length: 0\n\n", "Content-Length: 5\n\nhello", 1)
}

// sends has bob write to alice.
func (p *post) sends(callID string, extra ...string) {
	p.t.Helper()
	p.recv(caller, text(callID, extra...))
}

// empty checks that nothing waits for alice any more, or that something does.
func (p *post) empty(want bool) {
	p.t.Helper()
	synctest.Wait()
	if got := !p.Waiting(aliceAOR); got != want {
		p.t.Errorf("alice's mailbox is empty: %t, want %t", got, want)
	}
}

// gets checks that a phone is sent these messages, one after the other, and takes them.
func (p *post) gets(ph *phone, callIDs ...string) (last sent) {
	p.t.Helper()
	for _, id := range callIDs {
		last = p.expect("MESSAGE " + ph.flow.Remote.String())[0]
		if last.m.CallID() != id {
			p.t.Fatalf("the phone gets %s, want %s", last.m.CallID(), id)
		}
		p.reply(last, 200)
	}
	return last
}

func TestMessages_KeptForAPhoneThatSleeps_RFC3428_7(t *testing.T) {
	withMail(t, Options{}, func(p *post) {
		ph := p.sleeper("198.51.100.1:5060")
		p.sends("m1", "Route: <sip:192.0.2.1;lr>", `Proxy-Authorization: Digest username="bob", realm="elsewhere"`, "Authorization: Bearer x", "X-Other: y")
		answer := p.expect("202 203.0.113.9:5060")[0].m
		if answer.Has(sipmsg.HdrContact) || answer.Body() != "" {
			t.Errorf("the answer has a Contact or a body:\n%s", answer.Raw())
		}
		pu := p.pushCount(1)
		if pu.cause.Kind != push.Message || pu.cause.CallID != "m1" {
			t.Errorf("push %+v", pu.cause)
		}
		p.outcome(pu, push.OK)
		p.empty(false)
		arrived := time.Now()
		time.Sleep(2 * time.Second)
		p.register(ph)
		m := p.gets(ph, "m1").m
		p.expect()
		p.empty(true)
		if len(m.Vias()) != 1 || m.TopVia().Host != "192.0.2.1" {
			t.Errorf("Vias %v, want ours alone", m.Vias())
		}
		if m.Has(sipmsg.HdrRoute) || m.Has(sipmsg.HdrAuthorization) || m.Has(sipmsg.HdrProxyAuthorization) || strings.Contains(m.Raw(), "pn-prid") {
			t.Errorf("what concerns others is in\n%s", m.Raw())
		}
		other, _ := m.HeaderNamed("X-Other")
		date, _ := m.Header(sipmsg.HdrDate)
		if m.FromTag() != "caller" || m.CSeq().Seq != 1 || m.Body() != "hello" || other != "y" || m.RequestURI().User != "alice" || m.RequestURI().Host != "198.51.100.1" {
			t.Errorf("the message is another:\n%s", m.Raw())
		}
		// RFC 3261 §20.17.
		if want := arrived.UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT"); date != want {
			t.Errorf("Date %q, want %q", date, want)
		}
		if hops, _ := m.MaxForwards(); hops != 69 {
			t.Errorf("Max-Forwards %d, want 69", hops)
		}
		if len(p.woke) != 1 || p.woke[0] != ph.id {
			t.Errorf("woke %v", p.woke)
		}
	})
}

func TestMessages_BodiesAndDateStay(t *testing.T) {
	withMail(t, Options{}, func(p *post) {
		const date = "Date: Sat, 13 Nov 2010 23:29:00 GMT"
		body := "From: <sip:a@b>\r\nNS: imdn <urn:ietf:params:imdn>\r\nimdn.Message-ID: 34jk324j\r\n\r\nContent-Type: text/plain\r\n\r\nh\xc3\xa9\x00\xff\r\n"
		m := strings.Replace(request("MESSAGE", "sip:alice@example.com", "m1", date, "Content-Type: message/cpim"), "Content-Length: 0\n\n", fmt.Sprintf("Content-Length: %d\n\n%s", len(body), body), 1)
		p.recv(caller, m)
		p.expect("202 203.0.113.9:5060")
		ph := p.newPhone("alice", udp("198.51.100.1:5060"), "")
		p.register(ph)
		got := p.gets(ph, "m1").m
		if got.Body() != body || strings.Count(got.Raw(), "Date:") != 1 || !strings.Contains(got.Raw(), date) {
			t.Errorf("got\n%q", got.Raw())
		}
	})
}

func TestMessages_NotKeptIfAPhoneTakesIt(t *testing.T) {
	withMail(t, Options{}, func(p *post) {
		ph := p.newPhone("alice", udp("198.51.100.1:5060"), "fcm")
		p.register(ph)
		p.sends("m1")
		p.reply(p.expect("MESSAGE 198.51.100.1:5060")[0], 200)
		p.expect("200 203.0.113.9:5060")
		p.empty(true)
	})
}

func TestMessages_KeptIfPhonesAreSilent_RFC4320_4(t *testing.T) {
	withMail(t, Options{}, func(p *post) {
		ph := p.newPhone("alice", tcp("198.51.100.1:40000", 1), "")
		p.register(ph)
		p.sends("m1")
		m := p.expect("MESSAGE 198.51.100.1:40000")[0]
		time.Sleep(5*time.Second - time.Millisecond)
		p.expect()
		time.Sleep(time.Millisecond)
		p.expect("202 203.0.113.9:5060")
		p.empty(false)
		// It takes it after all.
		p.reply(m, 200)
		p.expect()
		p.empty(true)
		// The next phone never answers. It gets it when it registers, and so does the one
		// after it, in order.
		p.sends("m2")
		p.expect("MESSAGE 198.51.100.1:40000")
		time.Sleep(33 * time.Second)
		p.expect("202 203.0.113.9:5060")
		p.register(ph)
		p.gets(ph, "m2")
		p.empty(true)
	})
}

func TestMessages_KeptForAUserWithoutPhone(t *testing.T) {
	withMail(t, Options{}, func(p *post) {
		p.sends("m1")
		p.expect("202 203.0.113.9:5060")
		time.Sleep(time.Hour)
		ph := p.newPhone("alice", udp("198.51.100.1:5060"), "fcm")
		ph.callID = "register"
		p.register(ph)
		p.gets(ph, "m1")
		p.pushCount(0)
	})
}

func TestMessages_WhatIsNotKept(t *testing.T) {
	typing := strings.Replace(request("MESSAGE", "sip:alice@example.com", "m1", "Content-Type: application/im-iscomposing+xml"), "Content-Length: 0\n\n", "Content-Length: 2\n\n<>", 1)
	for _, tt := range []struct {
		name, request string
		stranger      bool
		want          string
	}{
		{"is typing, RFC 3994", typing, false, "480"},
		{"now or never, RFC 3428 §4", text("m1", "Expires: 0"), false, "480"},
		{"too large", text("m1", "X-Large: "+strings.Repeat("x", 3000)), false, "480"},
		{"of a stranger", text("m1"), true, "480"},
		{"to nobody", strings.ReplaceAll(text("m1"), "sip:alice@", "sip:nobody@"), false, "404"},
		{"to a group", strings.ReplaceAll(text("m1"), "sip:alice@", "sip:group@"), false, "480"},
		{"another method", request("INFO", "sip:alice@example.com", "m1"), false, "480"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := Options{
				Known:    func(aor usrloc.AOR) bool { return aor != "sip:nobody@example.com" },
				AORs:     map[usrloc.AOR]AOR{"sip:group@example.com": {Rings: []usrloc.AOR{aliceAOR}}},
				Messages: Messages{MaxSize: 2000},
			}
			withMail(t, o, func(p *post) {
				if tt.stranger {
					p.admit = func(*sipmsg.Message) Admission { return Admission{} }
				}
				p.recv(caller, tt.request)
				p.expect(tt.want + " 203.0.113.9:5060")
				if n := len(p.Users()); n != 0 {
					t.Errorf("something waits for %d users", n)
				}
			})
		})
	}
}

// Whose word is heard: what a phone will never take its sender is told, and what the user
// declines, too.
func TestMessages_AnswersOfPhones_RFC3428_7(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer int
		want   string
		kept   bool
	}{
		{"cannot read it", 415, "415", false},
		{"is not able to", 405, "405", false},
		{"declines", 603, "603", false},
		{"busy", 486, "202", true},
		{"broken", 500, "202", true},
		{"unavailable", 480, "202", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			withMail(t, Options{}, func(p *post) {
				ph := p.newPhone("alice", tcp("198.51.100.1:40000", 1), "")
				p.register(ph)
				p.sends("m1")
				m := p.expect("MESSAGE 198.51.100.1:40000")[0]
				p.mu.Lock()
				p.dead[ph.flow] = tt.kept // It goes away.
				p.mu.Unlock()
				p.reply(m, tt.answer)
				p.expect(tt.want + " 203.0.113.9:5060")
				p.empty(!tt.kept)
			})
		})
	}
}

func TestMessages_SleepingPhoneMayTakeWhatAnotherCannot(t *testing.T) {
	withMail(t, Options{}, func(p *post) {
		desk := p.newPhone("alice", udp("198.51.100.2:5060"), "")
		p.register(desk)
		mobile := p.sleeper("198.51.100.1:5060")
		p.sends("m1")
		p.reply(p.expect("MESSAGE 198.51.100.2:5060")[0], 415)
		p.expect("202 203.0.113.9:5060", "MESSAGE 198.51.100.2:5060")
		time.Sleep(time.Minute)
		p.register(mobile)
		p.empty(false)
	})
}

func TestMessages_InOrderOfArrival(t *testing.T) {
	withMail(t, Options{}, func(p *post) {
		ph := p.sleeper("198.51.100.1:5060")
		for _, id := range []string{"m1", "m2", "m3"} {
			p.sends(id)
			p.expect("202 203.0.113.9:5060")
		}
		p.pushCount(3)
		p.wakes(ph)
		first := p.expect("MESSAGE 198.51.100.7:40000")[0]
		// One that comes now does not overtake them, and the phone is awake.
		p.sends("m4")
		p.expect("202 203.0.113.9:5060")
		p.pushCount(3)
		if first.m.CallID() != "m1" {
			t.Errorf("%s comes first", first.m.CallID())
		}
		p.reply(first, 200)
		p.gets(ph, "m2", "m3", "m4")
		p.empty(true)
		// And then all is as usual.
		p.sends("m5")
		p.reply(p.expect("MESSAGE 198.51.100.7:40000")[0], 200)
		p.expect("200 203.0.113.9:5060")
	})
}

// All that are awake get it; one that is slow does not hold up the next for long.
func TestMessages_ToAllPhonesThatAreAwake(t *testing.T) {
	withMail(t, Options{}, func(p *post) {
		p.sends("m1")
		p.sends("m2")
		p.take()
		a := p.newPhone("alice", tcp("198.51.100.1:40000", 1), "")
		b := p.newPhone("alice", tcp("198.51.100.2:40000", 2), "fcm")
		asleep := p.newPhone("alice", tcp("198.51.100.3:40000", 3), "fcm")
		p.with(func() { p.mute[a.flow] = true })
		p.register(a) // It breaks at once.
		p.take()
		p.with(func() { delete(p.mute, a.flow) })
		p.register(asleep)
		for _, s := range p.take() {
			if s.flow == asleep.flow {
				p.reply(s, 480)
			}
		}
		time.Sleep(time.Minute)
		p.take()
		p.sleeps(asleep)
		p.register(b)
		sent := p.expect("MESSAGE 198.51.100.1:40000", "MESSAGE 198.51.100.2:40000")
		p.reply(sent[1], 200)
		p.expect()
		time.Sleep(slowest)
		sent = p.expect("MESSAGE 198.51.100.1:40000", "MESSAGE 198.51.100.2:40000")
		p.reply(sent[1], 200)
		p.reply(sent[0], 200)
		p.empty(true)
	})
}

func TestMessages_TriedAgainAtTheNextRegistration(t *testing.T) {
	withMail(t, Options{}, func(p *post) {
		ph := p.sleeper("198.51.100.1:5060")
		p.sends("m1")
		p.expect("202 203.0.113.9:5060")
		p.wakes(ph)
		p.reply(p.expect("MESSAGE 198.51.100.7:40000")[0], 480)
		p.empty(false)
		p.sleeps(ph)
		p.unregister(ph)
		time.Sleep(time.Hour)
		p.expect()
		// It vanishes in mid delivery.
		ph.flow = tcp("198.51.100.1:40000", 1)
		p.register(ph)
		p.expect("MESSAGE 198.51.100.1:40000")
		p.breaks(ph.flow)
		p.empty(false)
		ph.flow = tcp("198.51.100.1:40001", 2)
		p.register(ph)
		p.gets(ph, "m1")
		p.empty(true)
	})
}

func TestMessages_Full(t *testing.T) {
	withMail(t, Options{}, func(p *post) {
		ph := p.sleeper("198.51.100.1:5060")
		for n := range 5 {
			p.sends(fmt.Sprint("m", n))
			p.expect("202 203.0.113.9:5060")
		}
		p.sends("m5")
		if r := p.expect("480 203.0.113.9:5060")[0].m.Reason(); r != "Too Many Messages Wait" {
			t.Errorf("480 %s", r)
		}
		p.wakes(ph)
		p.gets(ph, "m0", "m1", "m2", "m3", "m4")
	})
}

// When the disk fails a message waits like any other request.
func TestMessages_WithoutADiskTheyWait(t *testing.T) {
	withMail(t, Options{}, func(p *post) {
		p.fail = errors.New("no space left on device")
		ph := p.sleeper("198.51.100.1:5060")
		p.sends("m1")
		p.expect()
		time.Sleep(2 * time.Second)
		p.wakes(ph)
		p.reply(p.expect("MESSAGE 198.51.100.7:40000")[0], 200)
		p.expect("200 203.0.113.9:5060")
		p.sleeps(ph)
		p.sends("m2")
		time.Sleep(15 * time.Second)
		p.expect("480 203.0.113.9:5060")
		p.unregister(ph)
		p.sends("m3")
		if r := p.expect("480 203.0.113.9:5060")[0].m.Reason(); r != "Message Cannot Be Kept" {
			t.Errorf("480 %s", r)
		}
	})
}

// A phone that shows life without a REGISTER gets its message, too.
func TestMessages_SignsOfLife(t *testing.T) {
	withMail(t, Options{}, func(p *post) {
		ph := p.newPhone("alice", tcp("198.51.100.1:40000", 1), "fcm")
		p.register(ph)
		p.sleeps(ph)
		p.sends("m1")
		p.expect("202 203.0.113.9:5060")
		p.with(func() { p.alive[ph.flow] = true })
		time.Sleep(250 * time.Millisecond)
		p.gets(ph, "m1")
	})
}

func TestMessages_ExpiresIsHonoured_RFC3428_4(t *testing.T) {
	withMail(t, Options{}, func(p *post) {
		ph := p.sleeper("198.51.100.1:5060")
		p.sends("m1", "Expires: 60")
		p.sends("m2", "Expires: 3600")
		p.take()
		time.Sleep(2 * time.Minute)
		p.register(ph)
		m := p.gets(ph, "m2").m
		if value, _ := m.Expires(); value != "3600" || !m.Has(sipmsg.HdrDate) {
			t.Errorf("Expires %s with a Date %t: a phone cannot tell when it ends", value, m.Has(sipmsg.HdrDate))
		}
		p.empty(true)
	})
}

// RFC 3261 §26.2.2.
func TestMessages_SipsOverTLSAlone(t *testing.T) {
	withMail(t, Options{}, func(p *post) {
		p.recv(caller, strings.Replace(text("m1"), "MESSAGE sip:alice@", "MESSAGE sips:alice@", 1))
		p.expect("202 203.0.113.9:5060")
		ph := p.newPhone("alice", udp("198.51.100.1:5060"), "")
		p.register(ph)
		p.expect()
		ph.flow, ph.uri = wss("198.51.100.1:40000", 1), "sips:alice@198.51.100.1"
		p.register(ph)
		p.gets(ph, "m1")
	})
}

func TestMessages_SenderAsItWasVouchedFor(t *testing.T) {
	withMail(t, Options{Identity: Identity{From: OverwriteFrom, TrustOutbound: true}}, func(p *post) {
		p.admit = func(*sipmsg.Message) Admission { return Admission{User: "sip:bob@example.com"} }
		p.sends("m1")
		p.expect("202 203.0.113.9:5060")
		ph := p.newPhone("alice", udp("198.51.100.1:5060"), "")
		p.register(ph)
		m := p.gets(ph, "m1").m
		asserted := slices.Collect(m.Values(sipmsg.HdrPAssertedIdentity))
		if m.From().URI.String() != "sip:bob@example.com" || !slices.Equal(asserted, []string{"<sip:bob@example.com>"}) {
			t.Errorf("From %s, asserted %q", m.From(), asserted)
		}
	})
}

// When the server stops, what waits is kept, and nothing is handed over any more.
func TestMessages_Stop(t *testing.T) {
	withMail(t, Options{}, func(p *post) {
		ph := p.sleeper("198.51.100.1:5060")
		p.sends("m1")
		p.expect("202 203.0.113.9:5060")
		p.proxy.Stop()
		p.register(ph)
		p.expect()
		p.empty(false)
	})
}

func TestMessages_ManyAtOnce(t *testing.T) {
	withMail(t, Options{MaxParkedPerAOR: 2}, func(p *post) {
		ph := p.sleeper("198.51.100.1:5060")
		for n := range 5 {
			p.post(caller, text(fmt.Sprint("m", n)))
		}
		synctest.Wait()
		// Those for whom there is no place in the bucket are kept all the same.
		var want []string
		for range 5 {
			want = append(want, "202 203.0.113.9:5060")
		}
		p.expect(want...)
		p.wakes(ph)
		seen := map[string]bool{}
		for range 5 {
			m := p.expect("MESSAGE 198.51.100.7:40000")[0]
			seen[m.m.CallID()] = true
			p.reply(m, 200)
		}
		if len(seen) != 5 {
			t.Errorf("got %v", seen)
		}
	})
}
