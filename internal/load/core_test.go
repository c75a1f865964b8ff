package load

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"

	"reveille/internal/sipmsg"
)

const (
	second = int64(time.Second)
	milli  = int64(time.Millisecond)
)

var target = netip.MustParseAddrPort("127.0.0.1:5984")

// A world is a core with a wire that keeps what it sends.
type world struct {
	*core
	t      *testing.T
	left   []Phase // that have not begun
	over   bool
	sent   []message
	sleeps int
}

type message struct {
	line uint16
	text string
}

func (m message) first() string { line, _, _ := strings.Cut(m.text, "\r\n"); return line }

func (w *world) send(line uint16, b []byte) { w.sent = append(w.sent, message{line, string(b)}) }
func (w *world) addr(line uint16) string    { return fmt.Sprintf("127.0.0.1:%d", 40000+int(line)) }
func (w *world) sleep()                     { w.sleeps++ }

func newWorld(t *testing.T, o Options) *world {
	t.Helper()
	o.Target, o.Seed = target, 1
	if err := o.Check(); err != nil {
		t.Fatal(err)
	}
	o.setDefaults()
	w := &world{t: t, left: o.Phases}
	w.core = newCore(&o, w)
	w.over = !w.nextPhase(0)
	return w
}

// nextPhase begins the next phase, as Run does; false if there is none.
func (w *world) nextPhase(now int64) bool {
	if len(w.left) == 0 || w.stopped {
		return false
	}
	w.beginPhase(w.left[0], now)
	w.left = w.left[1:]
	return true
}

// step does a step, and what follows the end of a phase.
func (w *world) step(now int64) bool {
	if w.over {
		return false
	}
	for !w.core.step(now) {
		w.endPhase(now)
		if w.over = !w.nextPhase(now); w.over {
			return false
		}
	}
	return true
}

// take returns what was sent since the last take, and fails the test unless that
// is so many.
func (w *world) take(n int) []message {
	w.t.Helper()
	got := w.sent
	w.sent = nil
	if len(got) != n {
		var lines []string
		for _, m := range got {
			lines = append(lines, m.first())
		}
		w.t.Fatalf("sent %d messages, want %d:\n%s", len(got), n, strings.Join(lines, "\n"))
	}
	return got
}

// at does a step at the time of ns, and again if the step was not all.
func (w *world) at(ns int64) (goesOn bool) {
	for goesOn = w.step(ns); goesOn && w.next() <= ns; {
		goesOn = w.step(ns)
	}
	return goesOn
}

// answer has the server answer m.
func (w *world) answer(m message, ns int64, r sipmsg.Reply) {
	w.t.Helper()
	req, err := sipmsg.Parse([]byte(m.text), target)
	if err != nil {
		w.t.Fatalf("sent a damaged request: %v\n%s", err, m.text)
	}
	if r.Code == 200 && req.Method() == "REGISTER" {
		r.Headers = append(r.Headers, sipmsg.HeaderField{Name: "Contact", Value: req.Contacts()[0].String()})
	}
	w.receive(m.line, req.AppendReply(nil, r), ns)
}

// closed is a phase in which all phones register.
func closed(n, window int) Phase {
	return Phase{Name: "register", Register: Pace{Count: n, Window: window}}
}

func TestPhone_IsSmall(t *testing.T) {
	if got := unsafe.Sizeof(phone{}); got > 32 {
		t.Errorf("a phone has %d bytes, want 32 at most", got)
	}
	if got := unsafe.Sizeof(phone{}) + unsafe.Sizeof(proof{}) + 48; got > 112 {
		t.Errorf("a phone with digest has %d bytes, a nonce of 48 included, want 112 at most", got)
	}
}

func TestRegister_ClosedLoopKeepsItsWindow(t *testing.T) {
	w := newWorld(t, Options{Phones: 7, Phases: []Phase{closed(7, 3)}})
	w.at(0)
	under, sent, now := w.take(3), 3, int64(0)
	for len(under) > 0 {
		now += milli
		w.answer(under[0], now, sipmsg.Reply{Code: 200, ToTag: "s"})
		w.at(now)
		sent += len(w.sent)
		if under, w.sent = append(under[1:], w.sent...), nil; len(under) > 3 {
			t.Fatalf("%d under way, want 3 at most", len(under))
		}
	}
	if sent != 7 || w.at(now) {
		t.Errorf("sent %d, want 7 and the end", sent)
	}
	got := w.rec.done[0]
	if got.Registers.OK != 7 || got.Registers.Failed != 0 || got.Latency["register"].Count != 7 || len(got.Failures) != 0 {
		t.Errorf("summary = %+v", got)
	}
}

func TestRegister_OpenLoopDoesNotWait(t *testing.T) {
	w := newWorld(t, Options{Phones: 10, Phases: []Phase{{Name: "register", Register: Pace{Count: 10, Rate: 10}}}})
	w.at(0)
	w.take(1)
	// Ends before the first is sent again.
	for i := int64(1); i < 5; i++ {
		w.at(i*second/10 - 1)
		w.take(0)
		w.at(i * second / 10)
		w.take(1)
	}
	if n := w.rec.seen[Pacing].TotalCount(); n != 5 {
		t.Errorf("pacing was noted %d times, want 5", n)
	}
}

func TestRegister_IsRetransmittedAndGivenUp_RFC3261_17_1_2_2(t *testing.T) {
	w := newWorld(t, Options{Phones: 1, Phases: []Phase{closed(1, 1)}})
	w.at(0)
	first := w.take(1)[0]
	var times []int64
	for at := w.next(); at < 32*second; at = w.next() {
		w.at(at)
		for _, m := range w.take(1) {
			if m != first {
				t.Fatalf("sent again\n%s\nwant\n%s", m.text, first.text)
			}
		}
		times = append(times, at/milli)
	}
	if d := cmp.Diff([]int64{500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500}, times); d != "" {
		t.Errorf("times (-want +got):\n%s", d)
	}
	if w.at(32 * second) {
		t.Error("goes on")
	}
	if d := cmp.Diff(map[string]int{"register: no answer": 1}, w.rec.done[0].Failures); d != "" {
		t.Errorf("failures (-want +got):\n%s", d)
	}
}

func TestRegister_StatusIsCounted(t *testing.T) {
	w := newWorld(t, Options{Phones: 1, Phases: []Phase{closed(1, 1)}})
	w.at(0)
	m := w.take(1)[0]
	w.answer(m, milli, sipmsg.Reply{Code: 100})
	w.answer(m, milli, sipmsg.Reply{Code: 503, ToTag: "s"})
	w.answer(m, milli, sipmsg.Reply{Code: 200, ToTag: "s"}) // Too late.
	w.at(milli)
	got := w.rec.done[0]
	if got.Registers.Failed != 1 || got.Registers.OK != 0 || got.Failures["register: 503"] != 1 {
		t.Errorf("summary = %+v", got)
	}
}

func challengeOf(nonce, algorithm, more string) sipmsg.HeaderField {
	return sipmsg.HeaderField{Name: "WWW-Authenticate", Value: `Digest realm="example.com", nonce="` + nonce + `", algorithm=` + algorithm + `, qop="auth"` + more}
}

func TestRegister_NonceIsUsedAgainWithRisingCount_RFC7616_3_4(t *testing.T) {
	o := Options{Phones: 1, Password: "secret", Algorithm: "MD5", Phases: []Phase{closed(3, 1)}}
	w := newWorld(t, o)
	w.at(0)
	m := w.take(1)[0]
	if strings.Contains(m.text, "Authorization") {
		t.Fatalf("credentials before a challenge:\n%s", m.text)
	}
	challenge := sipmsg.Reply{Code: 401, ToTag: "s", Headers: []sipmsg.HeaderField{challengeOf("n1", "SHA-256", ""), challengeOf("n1", "MD5", "")}}
	w.answer(m, 0, challenge)
	for i, want := range []string{`nonce="n1"`, `nonce="n1"`, `nonce="n1"`} {
		m = w.take(1)[0]
		nc := fmt.Sprintf("nc=%08x", i+1)
		if !strings.Contains(m.text, want) || !strings.Contains(m.text, nc) || !strings.Contains(m.text, "algorithm=MD5") {
			t.Errorf("REGISTER %d lacks %s or %s:\n%s", i, want, nc, m.text)
		}
		if i < 2 {
			w.answer(m, 0, sipmsg.Reply{Code: 200, ToTag: "s"})
			w.at(0)
		}
	}
	// The nonce grew old: the phone takes the new one, whatever was before.
	stale := sipmsg.Reply{Code: 401, ToTag: "s", Headers: []sipmsg.HeaderField{challengeOf("n2", "MD5", ", stale=true")}}
	w.answer(m, 0, stale)
	m = w.take(1)[0]
	if !strings.Contains(m.text, `nonce="n2"`) || !strings.Contains(m.text, "nc=00000001") {
		t.Errorf("after stale=true:\n%s", m.text)
	}
	w.answer(m, 0, challenge)
	w.at(0)
	got := w.rec.done[0]
	if got.Registers.OK != 2 || got.Registers.Failed != 1 || got.Registers.Challenged != 2 || got.Failures["register: 401"] != 1 {
		t.Errorf("summary = %+v", got)
	}
}

func TestHasher_Vectors_RFC7616_3_9_1(t *testing.T) {
	for algorithm, want := range map[string]string{
		md5Name:    "8ca523f5e9506fed4657c9700eebdbec",
		sha256Name: "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
	} {
		got := new(hasher).appendResponse(nil, algorithm, "Mufasa", "http-auth@example.org", "Circle of Life",
			"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", "00000001", "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", "GET", "/dir/index.html")
		if string(got) != want {
			t.Errorf("%s: %s, want %s", algorithm, got, want)
		}
	}
}

func TestParseChallenge(t *testing.T) {
	tests := []struct {
		name, value string
		want        challenge
		ok          bool
	}{
		{"all", `Digest realm="a, b", nonce="n=1", algorithm=sha-256, qop="auth,auth-int", stale=TRUE`, challenge{"a, b", "n=1", "SHA-256", true}, true},
		{"no algorithm is MD5", `digest nonce="n",qop="auth",realm="r"`, challenge{"r", "n", "MD5", false}, true},
		{"no qop", `Digest realm="r", nonce="n"`, challenge{"r", "n", "MD5", false}, false},
		{"no nonce", `Digest realm="r", qop="auth"`, challenge{"r", "", "MD5", false}, false},
		{"unknown algorithm", `Digest nonce="n", qop="auth", algorithm=SHA-512-256`, challenge{"", "n", "SHA-512-256", false}, false},
		{"another scheme", `Basic realm="r"`, challenge{}, false},
		{"damaged", `Digest realm="r`, challenge{"r", "", "MD5", false}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := parseChallenge(tt.value)
			if got != tt.want || ok != tt.ok {
				t.Errorf("parseChallenge(%s) = %+v, %t, want %+v, %t", tt.value, got, ok, tt.want, tt.ok)
			}
		})
	}
}

func TestAppendRegister_IsWhatTheServerReads(t *testing.T) {
	w := newWorld(t, Options{
		Phones: 8, Push: Push{"fcm", "project"}, Expires: Span{240 * time.Second, 300 * time.Second}, Phases: []Phase{closed(8, 8)},
	})
	w.at(0)
	lifetimes := map[string]bool{}
	for i, sent := range w.take(8) {
		m, err := sipmsg.Parse([]byte(sent.text), target)
		if err != nil {
			t.Fatalf("%v\n%s", err, sent.text)
		}
		contact := m.Contacts()[0]
		prid, _ := contact.URI.Param("pn-prid")
		if n, ok := tokenOf(prid); !ok || int(n) != i || contact.URI.User != UserName(i) || m.To().URI.User != UserName(i) {
			t.Errorf("phone %d: token %q of %d, contact %s", i, prid, n, contact)
		}
		s, _ := contact.Params.Get("expires")
		if n, ok := sipmsg.ParseDeltaSeconds(s); !ok || n < 240 || n > 300 {
			t.Errorf("phone %d asks for %s s, want 240 to 300", i, s)
		}
		lifetimes[s] = true
		var p sipmsg.Plain
		if !p.Read([]byte(sent.text), "REGISTER") {
			t.Errorf("the server does not find it plain:\n%s", sent.text)
		}
	}
	if len(lifetimes) < 3 {
		t.Errorf("lifetimes %v, want them spread", lifetimes)
	}
}

// TestAppendRegister_IsAsLongAsThatOfAnApp: what a server is measured with must
// cost it what phones do.
func TestAppendRegister_IsAsLongAsThatOfAnApp(t *testing.T) {
	w := newWorld(t, Options{Phones: 1, Push: Push{"fcm", "example-app-project"}, Phases: []Phase{closed(1, 1)}})
	w.at(0)
	if n := len(w.take(1)[0].text); n < 800 || n > 1000 {
		t.Errorf("a REGISTER has %d bytes, want 800 to 1000", n)
	}
}

func TestPhase_RestartPlainAndExpires(t *testing.T) {
	again := Phase{Name: "again", Register: Pace{Count: 1, Window: 1}}
	guests := again
	guests.Restart, guests.Plain, guests.Expires = true, true, Span{time.Minute, time.Minute}
	w := newWorld(t, Options{Phones: 1, Push: Push{"fcm", "project"}, Phases: []Phase{closed(1, 1), again, guests}})
	var calls []string
	for i := range 3 {
		w.at(0)
		m := w.take(1)[0]
		req, err := sipmsg.Parse([]byte(m.text), target)
		if err != nil {
			t.Fatal(err)
		}
		calls = append(calls, req.CallID())
		_, push := req.Contacts()[0].URI.Param("pn-prid")
		if s, _ := req.Contacts()[0].Params.Get("expires"); push != (i < 2) || (s == "60") != (i == 2) {
			t.Errorf("phase %d: %s", i, req.Contacts()[0])
		}
		w.answer(m, 0, sipmsg.Reply{Code: 200, ToTag: "s"})
	}
	if calls[0] != calls[1] || calls[1] == calls[2] {
		t.Errorf("Call-IDs %v, want another in the third phase only", calls)
	}
}

// TestExpired_IsCountedOnce: a binding that ended counts when its phone comes back
// too late, or at the end of the phase in which it ended.
func TestExpired_IsCountedOnce(t *testing.T) {
	rest := Phase{Name: "rest", Lasts: 40 * time.Second}
	w := newWorld(t, Options{Phones: 1, Expires: Span{30 * time.Second, 30 * time.Second}, Phases: []Phase{
		closed(1, 1), {Name: "late", Register: Pace{Count: 2, Rate: 1.0 / 31}}, rest, rest,
	}})
	w.at(0)
	for i := range int64(3) {
		now := max(i-1, 0) * 31 * second
		w.at(now)
		w.answer(w.take(1)[0], now, sipmsg.Reply{Code: 200, ToTag: "s"})
		w.at(now)
	}
	w.at(71 * second)
	w.at(111 * second)
	var expired []int
	for _, p := range w.rec.done {
		expired = append(expired, p.Registers.Expired)
	}
	if d := cmp.Diff([]int{0, 1, 1, 0}, expired); d != "" {
		t.Errorf("expired in each phase (-want +got):\n%s", d)
	}
}

func TestGranted(t *testing.T) {
	tests := []struct {
		name, contact string
		want          int64
		ok            bool
	}{
		{"a phone's", `<sip:u@a;expires=9>;+sip.instance="<urn:uuid:1>";expires=60`, 60, true},
		{"more behind it", `<sip:u@a>;expires=3600;received="sip:b"`, 3600, true},
		{"of two the first", `<sip:u@a>;expires=1, <sip:u@b>;expires=2`, 1, true},
		{"none", `<sip:u@a>`, 0, false},
		{"no number", `<sip:u@a>;expires=soon`, 0, false},
		{"no Contact", "", 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, Options{Phones: 1})
			text := "SIP/2.0 200 OK\r\nCSeq: 1 REGISTER\r\nContact: " + tt.contact + "\r\n\r\n"
			if tt.contact == "" {
				text = "SIP/2.0 200 OK\r\nCSeq: 1 REGISTER\r\n\r\n"
			}
			if err := w.scan.Parse(text); err != nil {
				t.Fatal(err)
			}
			if got, ok := w.granted(); ok != tt.ok || ok && got != tt.want*second {
				t.Errorf("granted = %d s, %t, want %d, %t", got/second, ok, tt.want, tt.ok)
			}
		})
	}
}

func TestReceive_ForeignAndDamaged(t *testing.T) {
	w := newWorld(t, Options{Phones: 1, Phases: []Phase{closed(1, 1)}})
	w.at(0)
	m := w.take(1)[0]
	other := strings.Replace(m.text, cookie+"r", cookie+"r0", 1)
	w.answer(message{0, other}, 0, sipmsg.Reply{Code: 200, ToTag: "s"})
	for _, b := range []string{"", "\r\n\r\n", "SIP/2.0 200 OK\r\n\r\n", "garbage"} {
		w.receive(0, []byte(b), 0)
	}
	if w.rec.present.Registers.OK != 0 {
		t.Error("an answer to another run counts")
	}
	if n := w.rec.present.Failures["receive: no SIP message"]; n != 3 {
		t.Errorf("%d damaged messages, want 3", n)
	}
}

func FuzzReceive(f *testing.F) {
	f.Add([]byte("SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP a;branch=z9hG4bKr000000010000000000000001\r\nCSeq: 1 REGISTER\r\n\r\n"))
	f.Add([]byte("INVITE sip:u0000000@a SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: i\r\nCSeq: 1 INVITE\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		w := newWorld(t, Options{Phones: 1, Password: "p", Phases: []Phase{closed(1, 1)}})
		w.at(0)
		before := bytes.Clone(b)
		w.receive(0, b, 0)
		if !bytes.Equal(b, before) {
			t.Error("the message was changed")
		}
		for _, m := range w.sent {
			if _, err := sipmsg.Parse([]byte(m.text), target); err != nil && !strings.HasPrefix(m.text, "SIP/2.0") {
				t.Errorf("sent what cannot be read: %v\n%s", err, m.text)
			}
		}
	})
}
