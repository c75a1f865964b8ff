package phone

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestMain(m *testing.M) {
	AllowLargeDatagrams()
	m.Run()
}

func addrPort(a net.Addr) netip.AddrPort { return netip.MustParseAddrPort(a.String()) }

// device is a Phone whose events can be waited for.
type device struct {
	*Phone
	t      *testing.T
	events chan Event
}

func newDevice(t *testing.T, s *switchboard, user string, change func(*Options)) *device {
	t.Helper()
	d := &device{t: t, events: make(chan Event, 100)}
	o := Options{
		User: user, Domain: "test.example", Password: user[:1] + "-secret", Server: s.addr,
		Push: Push{Provider: "fcm", Param: "123", PRID: "tok:en=/+?"},
		TLS:  &tls.Config{RootCAs: s.ca.Pool()},
		On:   func(e Event) { d.events <- e },
	}
	if change != nil {
		change(&o)
	}
	var err error
	if d.Phone, err = New(o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

// registered returns a device that is awake and registered.
func registered(t *testing.T, s *switchboard, user string, change func(*Options)) *device {
	t.Helper()
	d := newDevice(t, s, user, change)
	if err := d.Register(testContext(t)); err != nil {
		t.Fatal(err)
	}
	d.want(Registered)
	return d
}

// want takes the next event, which must be of that kind.
func (d *device) want(k Kind) Event {
	d.t.Helper()
	timeout := time.After(10 * time.Second)
	for {
		select {
		case e := <-d.events:
			// sipgo hands on the responses of a stream in any order: 180 may come
			// behind 200, and then not at all.
			if e.Kind == Ringing && k != Ringing {
				continue
			}
			if e.Kind != k {
				d.t.Fatalf("%s: event %v (status %d), want %v", d.o.User, e.Kind, e.Status, k)
			}
			return e
		case <-timeout:
			d.t.Fatalf("%s: no event, want %v", d.o.User, k)
		}
	}
}

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func tcp(o *Options) { o.Transport = "tcp" }

func allTransports(t *testing.T, f func(t *testing.T, change func(*Options))) {
	t.Run("udp", func(t *testing.T) { f(t, nil) })
	t.Run("tcp", func(t *testing.T) { f(t, tcp) })
	t.Run("tls", func(t *testing.T) { f(t, func(o *Options) { o.Transport = "tls" }) })
}

func TestRegister_RFC8599_4_1(t *testing.T) {
	allTransports(t, func(t *testing.T, change func(*Options)) {
		s := newSwitchboard(t)
		d := registered(t, s, "alice", change)
		all := s.requests("REGISTER")
		if len(all) != 2 {
			t.Fatalf("%d REGISTERs, want 2: without and with credentials", len(all))
		}
		if all[0].CallID() != all[1].CallID() || all[1].CSeq().Seq != all[0].CSeq().Seq+1 {
			t.Errorf("Call-ID and CSeq: %s %d, then %s %d", all[0].CallID(), all[0].CSeq().Seq, all[1].CallID(), all[1].CSeq().Seq)
		}
		c := all[1].Contacts()[0]
		for name, want := range map[string]string{"pn-provider": "fcm", "pn-param": "123", "pn-prid": "tok:en%3D/+%3F"} {
			if got, _ := c.URI.Param(name); got != want {
				t.Errorf("%s = %q, want %q", name, got, want)
			}
		}
		if got, _ := c.Params.Get("+sip.instance"); !strings.HasPrefix(got, "<urn:uuid:") {
			t.Errorf("+sip.instance = %q", got)
		}
		if c.URI.PortNum() != all[1].Source().Port() {
			t.Errorf("Contact has port %d, the message came from %d", c.URI.PortNum(), all[1].Source().Port())
		}
		if got := d.PURR(); got != testPURR {
			t.Errorf("PURR() = %q", got)
		}
		if err := d.Unregister(testContext(t)); err != nil {
			t.Fatal(err)
		}
		if last := s.requests("REGISTER"); last[len(last)-1].CallID() != all[0].CallID() || last[len(last)-1].CSeq().Seq != 4 {
			t.Errorf("de-REGISTER: %s %d", last[len(last)-1].CallID(), last[len(last)-1].CSeq().Seq)
		}
	})
}

func TestRegister_Refused(t *testing.T) {
	s := newSwitchboard(t)
	d := newDevice(t, s, "alice", func(o *Options) { o.Password = "wrong" })
	err := d.Register(testContext(t))
	var status *StatusError
	if !errors.As(err, &status) || status.Code != 401 {
		t.Errorf("Register() = %v, want 401", err)
	}
	if e := d.want(Refused); e.Status != 401 {
		t.Errorf("event: %+v", e)
	}
}

func TestWake_SameInstanceOtherPort(t *testing.T) {
	allTransports(t, func(t *testing.T, change func(*Options)) {
		s := newSwitchboard(t)
		d := registered(t, s, "alice", change)
		d.Sleep()
		d.want(Asleep)
		if d.Awake() || len(s.requests("REGISTER")) != 2 {
			t.Error("the phone did not fall asleep without a word")
		}
		d.Sleep() // Again: nothing happens.
		if err := d.Wake(testContext(t)); err != nil {
			t.Fatal(err)
		}
		d.want(Registered)
		all := s.requests("REGISTER")
		first, last := all[0], all[len(all)-1]
		one, _ := first.Contacts()[0].Params.Get("+sip.instance")
		two, _ := last.Contacts()[0].Params.Get("+sip.instance")
		if one != two {
			t.Errorf("instance changed from %q to %q", one, two)
		}
		if first.Source() == last.Source() || first.CallID() == last.CallID() {
			t.Errorf("woke with source %v and Call-ID %s as before", last.Source(), last.CallID())
		}
		if d.Count(Registered) != 2 || d.Count(Asleep) != 1 {
			t.Errorf("counted %d and %d", d.Count(Registered), d.Count(Asleep))
		}
	})
}

// connect has alice call bob.
func connect(t *testing.T, s *switchboard, alice, bob *device) *Call {
	t.Helper()
	call, err := alice.Call(testContext(t), bob.AOR())
	if err != nil {
		t.Fatal(err)
	}
	if e := bob.want(Invited); e.Body != silence {
		t.Errorf("Invited with the body %q, want what alice offers", e.Body)
	}
	bob.want(Answered)
	bob.want(Confirmed)
	if e := alice.want(Connected); e.Body != silence {
		t.Errorf("Connected with the body %q, want bob's answer", e.Body)
	}
	return call
}

func TestCall(t *testing.T) {
	allTransports(t, func(t *testing.T, change func(*Options)) {
		s := newSwitchboard(t)
		alice, bob := registered(t, s, "alice", change), registered(t, s, "bob", change)
		call := connect(t, s, alice, bob)

		invite := s.requests("INVITE")[0]
		contact := invite.Contacts()[0].URI
		if purr, _ := contact.Param("pn-purr"); purr != testPURR {
			t.Errorf("Contact of INVITE: %s, want pn-purr (RFC 8599 §6.1)", contact)
		}
		if strings.Contains(invite.Raw(), "pn-prid") {
			t.Error("push data in an INVITE (RFC 8599 §4.1)")
		}
		ack := s.requests("ACK")[0]
		if ack.CSeq().Seq != invite.CSeq().Seq || ack.TopVia().Branch() == invite.TopVia().Branch() {
			t.Error("the ACK to a 2xx has the CSeq of its INVITE and a branch of its own (RFC 3261 §13.2.2.4)")
		}
		if status, err := call.Send(testContext(t), "INFO"); err != nil || status != 200 {
			t.Errorf("Send(INFO) = %d, %v", status, err)
		}
		other := bob.Calls()[0]
		if status, err := other.Send(testContext(t), "INFO"); err != nil || status != 200 {
			t.Errorf("the other way: Send(INFO) = %d, %v", status, err)
		}
		if err := other.Reinvite(testContext(t)); err != nil {
			t.Errorf("Reinvite() = %v", err)
		}
		if again := s.requests("INVITE")[1]; again.Body() != silence || len(again.Contacts()) != 1 {
			t.Errorf("re-INVITE:\n%s", again.Raw())
		}
		if err := call.Bye(testContext(t)); err != nil {
			t.Errorf("Bye() = %v", err)
		}
		<-other.Ended()
		alice.want(Ended)
		bob.want(Ended)
		if len(alice.Calls())+len(bob.Calls()) != 0 {
			t.Error("calls are left after BYE")
		}
		if status, err := other.Send(testContext(t), "INFO"); err != nil || status != 481 {
			t.Errorf("INFO after BYE = %d, %v, want 481", status, err)
		}
	})
}

func TestCall_CalleeHangsUpAfterSleep(t *testing.T) {
	allTransports(t, func(t *testing.T, change func(*Options)) {
		s := newSwitchboard(t)
		alice, bob := registered(t, s, "alice", change), registered(t, s, "bob", change)
		call := connect(t, s, alice, bob)
		bob.Sleep()
		bob.want(Asleep)
		other := bob.Calls()[0]
		if err := other.Bye(testContext(t)); !errors.Is(err, ErrAsleep) {
			t.Errorf("Bye() while asleep = %v, want ErrAsleep", err)
		}
		if err := bob.Wake(testContext(t)); err != nil {
			t.Fatal(err)
		}
		bob.want(Registered)
		// Both directions find the phone where it is now.
		if status, err := call.Send(testContext(t), "INFO"); err != nil || status != 200 {
			t.Errorf("Send(INFO) = %d, %v", status, err)
		}
		if err := other.Bye(testContext(t)); err != nil {
			t.Errorf("Bye() = %v", err)
		}
		<-call.Ended()
	})
}

func TestCall_Cancelled_RFC3261_9(t *testing.T) {
	allTransports(t, func(t *testing.T, change func(*Options)) {
		s := newSwitchboard(t)
		alice := registered(t, s, "alice", change)
		bob := registered(t, s, "bob", func(o *Options) {
			o.Ring = time.Hour
			if change != nil {
				change(o)
			}
		})
		ctx, cancel := context.WithCancel(testContext(t))
		done := make(chan error, 1)
		go func() {
			_, err := alice.Call(ctx, bob.AOR())
			done <- err
		}()
		bob.want(Invited)
		alice.want(Ringing)
		cancel()
		var status *StatusError
		if err := <-done; !errors.As(err, &status) || status.Code != 487 {
			t.Errorf("Call() = %v, want 487", err)
		}
		bob.want(Cancelled)
		alice.want(Failed)
	})
}

func TestCall_Declined(t *testing.T) {
	s := newSwitchboard(t)
	alice := registered(t, s, "alice", nil)
	bob := registered(t, s, "bob", func(o *Options) { o.Reject = 486 })
	_, err := alice.Call(testContext(t), bob.AOR())
	var status *StatusError
	if !errors.As(err, &status) || status.Code != 486 {
		t.Errorf("Call() = %v, want 486", err)
	}
	bob.want(Invited)
	bob.want(Declined)
	if _, err := alice.Call(testContext(t), "sip:nobody@test.example"); !errors.As(err, &status) || status.Code != 404 {
		t.Errorf("Call(nobody) = %v, want 404", err)
	}
	if got := alice.Count(Failed); got != 2 {
		t.Errorf("%d calls failed, want 2", got)
	}
}

func TestCallAndMessage_Challenged_RFC3261_22_3(t *testing.T) {
	s := newSwitchboard(t)
	s.challengeCalls.Store(true)
	alice, bob := registered(t, s, "alice", nil), registered(t, s, "bob", nil)
	if err := alice.Message(testContext(t), bob.AOR(), "hello"); err != nil {
		t.Errorf("Message() = %v", err)
	}
	if e := bob.want(Messaged); e.Body != "hello" {
		t.Errorf("message %q", e.Body)
	}
	call := connect(t, s, alice, bob)
	if err := call.Bye(testContext(t)); err != nil {
		t.Errorf("Bye() = %v", err)
	}
	var status *StatusError
	if err := alice.Message(testContext(t), "sip:nobody@test.example", "hello"); !errors.As(err, &status) || status.Code != 404 {
		t.Errorf("Message(nobody) = %v, want 404", err)
	}
}

func TestRetransmit_RFC3261_13_3_1_4(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var at []time.Duration
		note := func() { at = append(at, time.Since(start)) }
		never := make(chan struct{})
		if !retransmit(note, never, never, never) || time.Since(start) != 32*time.Second {
			t.Errorf("ended after %v, want 64*T1", time.Since(start))
		}
		// 0.5, 1.5, 3.5 and 7.5 s, then every 4 s.
		if len(at) != 10 || at[0] != 500*time.Millisecond || at[3] != 7500*time.Millisecond || at[9] != 31500*time.Millisecond {
			t.Errorf("retransmitted at %v", at)
		}
		over := make(chan struct{})
		close(over)
		for i := range 3 {
			stops := []chan struct{}{never, never, never}
			stops[i] = over
			if retransmit(func() { t.Error("retransmitted") }, stops[0], stops[1], stops[2]) {
				t.Errorf("channel %d does not stop it", i)
			}
		}
	})
}

func TestAsleep(t *testing.T) {
	s := newSwitchboard(t)
	d := newDevice(t, s, "alice", nil)
	if _, err := d.Call(t.Context(), "sip:bob@test.example"); !errors.Is(err, ErrAsleep) {
		t.Errorf("Call() = %v, want ErrAsleep", err)
	}
	if err := d.Message(t.Context(), "sip:bob@test.example", ""); !errors.Is(err, ErrAsleep) {
		t.Errorf("Message() = %v, want ErrAsleep", err)
	}
}

// A phone that falls asleep releases who waits on its line.
func TestSleep_ReleasesACall(t *testing.T) {
	s := newSwitchboard(t)
	alice := registered(t, s, "alice", nil)
	bob := registered(t, s, "bob", func(o *Options) { o.Ring = time.Hour })
	done := make(chan error, 1)
	go func() {
		_, err := alice.Call(testContext(t), bob.AOR())
		done <- err
	}()
	bob.want(Invited)
	alice.want(Ringing)
	alice.Sleep()
	if err := <-done; err == nil {
		t.Error("Call() of a phone that fell asleep = nil")
	}
}

func TestRegister_ServerIsDown(t *testing.T) {
	s := newSwitchboard(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := l.Addr().String()
	l.Close()
	d := newDevice(t, s, "alice", func(o *Options) { o.Server, o.Transport = nobody, "tcp" })
	if err := d.Register(testContext(t)); err == nil {
		t.Error("Register() = nil although nobody listens")
	}
	if d.Awake() {
		t.Error("awake without a connection")
	}
	quiet, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer quiet.Close()
	d = newDevice(t, s, "alice", func(o *Options) { o.Server = quiet.LocalAddr().String() })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := d.Register(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Register() = %v, want the deadline", err)
	}
}

func TestNew_Errors(t *testing.T) {
	for _, o := range []Options{
		{},
		{User: "a", Domain: "b"},
		{User: "a", Domain: "b", Server: "c:1", Transport: "sctp"},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("New(%+v) = nil", o)
		}
	}
	p, err := New(Options{User: "a", Domain: "b", Server: "c:1"})
	if err != nil || p.AOR() != "sip:a@b" || !strings.HasPrefix(p.o.Instance, "urn:uuid:") || len(p.o.Instance) != 45 {
		t.Errorf("New() = %+v, %v", p, err)
	}
	for k := range numKinds {
		if k.String() == "" {
			t.Errorf("kind %d has no name", k)
		}
	}
}

// A server that does not prove who it is gets nothing.
func TestRegister_ServerOfAnotherAuthority(t *testing.T) {
	s := newSwitchboard(t)
	d := newDevice(t, s, "alice", func(o *Options) { o.Transport, o.TLS = "tls", nil })
	if err := d.Register(testContext(t)); err == nil {
		t.Error("registered")
	}
	if n := len(s.requests("REGISTER")); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
}

// A push service gave the app another token.
func TestSetPush_NextRegister_RFC8599_4_1(t *testing.T) {
	s := newSwitchboard(t)
	d := registered(t, s, "alice", nil)
	d.SetPush(Push{Provider: "fcm", Param: "123", PRID: "another"})
	if err := d.Register(testContext(t)); err != nil {
		t.Fatal(err)
	}
	all := s.requests("REGISTER")
	if got, _ := all[len(all)-1].Contacts()[0].URI.Param("pn-prid"); got != "another" {
		t.Errorf("pn-prid = %q", got)
	}
}
