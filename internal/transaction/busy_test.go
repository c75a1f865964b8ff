package transaction

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"reveille/internal/sipmsg"
)

// uri parses a URI that is well-formed.
func uri(t testing.TB, s string) *sipmsg.URI {
	t.Helper()
	u, err := sipmsg.ParseURI(s)
	if err != nil {
		t.Fatal(err)
	}
	return &u
}

// A message counts from Receive until its handler is done, and longer if that
// suspends or if it is held, under its Call-ID and under the AOR of its To.
func TestBusy_WhileQueuedHeldOrSuspended_Invariant1(t *testing.T) {
	bubble(t, Options{}, func(r *rig) {
		bob, carol := uri(t, "SIP:b%6Fb@Example.COM.:5060;transport=tcp"), uri(t, "sip:carol@example.com")
		busy := func(when string, want bool) {
			t.Helper()
			if r.layer.Busy("call", carol) != want {
				t.Errorf("%s: the Call-ID is busy: %v, want %v", when, !want, want)
			}
			if r.layer.Busy("another", bob) != want {
				t.Errorf("%s: the AOR is busy: %v, want %v", when, !want, want)
			}
			if r.layer.Busy("another", carol) {
				t.Errorf("%s: another Call-ID and AOR are busy", when)
			}
		}
		busy("at the start", false)
		var resume func(func())
		r.request = func(s *Server) {
			busy("in the handler", true)
			if resume == nil {
				resume = s.Suspend()
			}
		}
		hold := make(chan struct{})
		r.layer.Queue("call").Post(func() { <-hold })
		synctest.Wait()
		r.layer.Receive(tcpCaller, rq{method: "REGISTER", via: branch(0)}.on(t, tcpCaller))
		busy("queued", true)
		close(hold)
		synctest.Wait()
		busy("suspended", true)
		r.receive(tcpCaller, rq{method: "REGISTER", via: branch(1)}.on(t, tcpCaller))
		busy("suspended and held", true)
		resume(func() { busy("while it goes on", true) })
		synctest.Wait()
		busy("at the end", false)
		r.advance(time.Minute)
		r.checkEmpty()
	})
}

// Two messages of one Call-ID may be about different AORs.
func TestBusy_EachSuspensionItsAOR(t *testing.T) {
	bubble(t, Options{}, func(r *rig) {
		var resume []func(func())
		r.request = func(s *Server) { resume = append(resume, s.Suspend()) }
		aors := []string{"sip:a@example.com", "sip:b@example.com", "sip:c@example.com"}
		for n, aor := range aors {
			text := strings.Replace(rq{method: "REGISTER", via: branch(n)}.text(), "sip:bob@example.com>", aor+">", 1)
			r.receive(tcpCaller, r.parse(tcpCaller, []byte(text)))
		}
		for n := range aors {
			for i, aor := range aors {
				if got, want := r.layer.Busy("another", uri(t, aor)), i >= n; got != want {
					t.Errorf("%d resumed: %s is busy: %v, want %v", n, aor, got, want)
				}
			}
			resume[n](nil)
			synctest.Wait()
		}
		r.advance(time.Minute)
		r.checkEmpty()
	})
}

// What is dropped is not counted.
func TestBusy_Dropped(t *testing.T) {
	bubble(t, Options{Queues: 1, QueueLen: 1, MaxHeld: 1}, func(r *rig) {
		var resume func(func())
		r.suspendFirst(&resume)
		for n := range 4 {
			r.receive(tcpCaller, rq{method: "MESSAGE", via: branch(n)}.on(t, tcpCaller))
		}
		hold := make(chan struct{})
		r.layer.Queue("call").Post(func() { <-hold })
		synctest.Wait()
		for n := range 3 {
			r.layer.Receive(tcpCaller, rq{method: "MESSAGE", callID: "b", via: branch(10 + n)}.on(t, tcpCaller))
		}
		close(hold)
		resume(nil)
		r.advance(time.Minute)
		r.checkEmpty()
	})
}

// otherSpelling writes the URI of an AOR in another way.
func otherSpelling(r *rand.Rand, aor string) string {
	scheme, rest, _ := strings.Cut(aor, ":")
	user, host, ok := strings.Cut(rest, "@")
	if !ok {
		user, host = "", rest
	}
	var b strings.Builder
	b.WriteString([]string{scheme, "SIP", "sips", "SiPs"}[r.IntN(4)] + ":")
	for i := range len(user) {
		if r.IntN(4) == 0 && user[i] != '%' && (i < 1 || user[i-1] != '%') && (i < 2 || user[i-2] != '%') {
			fmt.Fprintf(&b, "%%%02x", user[i])
		} else {
			b.WriteByte(user[i])
		}
	}
	if user != "" {
		b.WriteString([]string{"", ":secret", ":"}[r.IntN(3)] + "@")
	}
	for i := range len(host) {
		c := host[i : i+1]
		if r.IntN(3) == 0 {
			c = strings.ToUpper(c)
		}
		b.WriteString(c)
	}
	if host[0] != '[' && r.IntN(4) == 0 {
		b.WriteByte('.')
	}
	b.WriteString([]string{"", ":5060", ":1"}[r.IntN(3)] + []string{"", ";transport=udp", ";user=phone;x"}[r.IntN(3)] + []string{"", "?a=b"}[r.IntN(2)])
	return b.String()
}

// One AOR, one counter, whatever it looks like.
func TestAORSlot_AnySpelling(t *testing.T) {
	l := New(Options{Queues: 1})
	r := rand.New(rand.NewPCG(9, 10))
	hosts := []string{"example.com", "a-b.c_d", "192.0.2.1", "[2001:db8::a]", "1und1.example", "x"}
	const chars = "aZ09-_.!~*'()&=+$,;?/"
	used := map[uint16]bool{}
	const rounds = 20_000
	for range rounds {
		user := ""
		for range 1 + r.IntN(12) {
			if r.IntN(8) == 0 {
				user += []string{"%25", "%40", "%00", "%C3%A4", "%3A"}[r.IntN(5)]
			} else {
				user += string(chars[r.IntN(len(chars))])
			}
		}
		aor := "sip:" + user + "@" + hosts[r.IntN(len(hosts))]
		if r.IntN(20) == 0 {
			aor = "sip:" + hosts[r.IntN(len(hosts))]
		}
		a, b := uri(t, aor), uri(t, otherSpelling(r, aor))
		x, err1 := sipmsg.CanonicalAOR(*a)
		y, err2 := sipmsg.CanonicalAOR(*b)
		if err1 != nil || err2 != nil {
			t.Fatal(aor, err1, err2)
		}
		if x == y && l.aorSlot(a) != l.aorSlot(b) {
			t.Fatalf("%s and %s are one AOR in two slots", a, b)
		}
		used[l.aorSlot(a)] = true
	}
	if len(used) < rounds/3 {
		t.Errorf("%d AORs use %d slots", rounds, len(used))
	}
}

func FuzzAORSlot(f *testing.F) {
	for _, s := range []string{"sip:alice@example.com", "SIPS:al%69ce:pw@Example.com.:5061;x?y=z", "sip:[2001:DB8::1]", "sip:%@1.2.3.4", "tel:+4930"} {
		f.Add(s)
	}
	l := New(Options{Queues: 1})
	f.Fuzz(func(t *testing.T, s string) {
		u, err := sipmsg.ParseURI(s)
		if err != nil {
			return
		}
		slot := l.aorSlot(&u)
		aor, err := sipmsg.CanonicalAOR(u)
		if err != nil {
			return
		}
		if key := uri(t, aor); l.aorSlot(key) != slot {
			t.Errorf("%s and its key %s are in two slots", s, aor)
		}
	})
}

func TestBegin_StopWaitsForEnd(t *testing.T) {
	bubble(t, Options{MaxTransactions: 1}, func(r *rig) {
		if !r.layer.Begin() {
			t.Fatal("Begin() = false")
		}
		done := r.stopping(time.Minute)
		if r.layer.Begin() {
			t.Error("Begin() = true while the layer stops")
		}
		r.advance(time.Second)
		r.layer.End()
		if err := <-done; err != nil {
			t.Errorf("Stop() = %v, want nil", err)
		}
		if at := time.Since(r.start); at != time.Second {
			t.Errorf("Stop() returned after %v, want 1s", at)
		}
	})
}

func TestBegin_Full_Invariant9(t *testing.T) {
	bubble(t, Options{MaxTransactions: 1}, func(r *rig) {
		r.receive(udpCaller, rq{}.on(t, udpCaller))
		if r.layer.Begin() {
			t.Error("Begin() = true with as many transactions as there may be")
		}
		if err := <-r.stopping(time.Second); err == nil {
			t.Errorf("Stop() = %v, want an error", err)
		}
		if n := r.layer.undecided.Load(); n != 1 {
			t.Errorf("undecided = %d, want 1", n)
		}
	})
}

// BenchmarkReceive is what handing a REGISTER to its queue costs the reader,
// most of which is the queue's lock.
func BenchmarkReceive(b *testing.B) {
	m := rq{method: "REGISTER"}.on(b, tcpCaller)
	b.Run("slot", func(b *testing.B) {
		l := New(Options{Queues: 1})
		for b.Loop() {
			l.busy.add(l.slot(m), 1)
		}
	})
	b.Run("whole", func(b *testing.B) {
		bench(b, quietUser{}, tcpCaller, func(int) *sipmsg.Message { return m })
	})
}
