package registrar

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reveille/usrloc"
)

// asks makes s ask fn about REGISTERs.
func (s *server) asks(fn func(in *Input, user string, answer func(Verdict))) {
	s.t.Helper()
	p := *s.Policy()
	p.Ask = fn
	if err := s.SetPolicy(p); err != nil {
		s.t.Fatal(err)
	}
}

// TestAsk_Refusal: what is refused changes nothing, also when the answer comes
// later and from elsewhere.
func TestAsk_Refusal(t *testing.T) {
	s := newServer(t, newStore(t))
	var asked []string
	verdict := Verdict{Refusal: &Refusal{Code: 480, Reason: "Not Now"}}
	s.asks(func(in *Input, user string, answer func(Verdict)) {
		asked = append(asked, string(in.AOR)+" "+in.Contacts[0].URI+" "+user)
		go answer(verdict)
	})
	x := s.exchange(request(1, "Contact: <sip:a@192.0.2.1>"))
	s.ServeUser(x, User{Name: "alice"})
	if got := <-x.answer; !strings.HasPrefix(got, "SIP/2.0 480 Not Now\r\n") {
		t.Errorf("answer\n%s", got)
	}
	if got := s.roundTrip(request(2)); strings.Contains(got, "Contact:") {
		t.Errorf("registered all the same\n%s", got)
	}
	verdict = Verdict{}
	if got := s.roundTrip(request(3, "Contact: <sip:a@192.0.2.1>")); !strings.Contains(got, ";expires=3600\r\n") {
		t.Errorf("answer\n%s", got)
	}
	if diff := cmp.Diff([]string{"sip:alice@example.com sip:a@192.0.2.1 alice", "sip:alice@example.com sip:a@192.0.2.1 "}, asked); diff != "" {
		t.Errorf("asked (-want +got)\n%s", diff)
	}
}

// TestAsk_Who: nobody is asked about a phone that goes or only looks, or about a
// REGISTER that is wrong anyway.
func TestAsk_Who(t *testing.T) {
	tests := []struct {
		name  string
		lines []string
		asked bool
	}{
		{"a contact", []string{"Contact: <sip:a@192.0.2.1>"}, true},
		{"one goes, one comes", []string{"Contact: <sip:a@192.0.2.1>;expires=0, <sip:b@192.0.2.1>"}, true},
		{"it comes in spite of the header field", []string{"Contact: <sip:a@192.0.2.1>;expires=60", "Expires: 0"}, true},
		{"a query", nil, false},
		{"it goes", []string{"Contact: <sip:a@192.0.2.1>;expires=0"}, false},
		{"it goes by the header field", []string{"Contact: <sip:a@192.0.2.1>", "Expires: 0"}, false},
		{"all go", []string{"Contact: *", "Expires: 0"}, false},
		{"an unknown extension", []string{"Contact: <sip:a@192.0.2.1>", "Require: nothing"}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t, newStore(t))
			asked := false
			s.asks(func(_ *Input, _ string, answer func(Verdict)) {
				asked = true
				answer(Verdict{})
			})
			s.roundTrip(request(1, tt.lines...))
			if asked != tt.asked {
				t.Errorf("asked: %v", asked)
			}
		})
	}
}

func TestAsk_Limits(t *testing.T) {
	const sleeper = "Contact: <sip:s@192.0.2.1;pn-provider=fcm;pn-param=p;pn-prid=t>"
	tests := []struct {
		name, contact string
		verdict       Verdict
		want          string
	}{
		{"shorter", "Contact: <sip:a@192.0.2.1>", Verdict{MaxExpires: 10 * time.Minute}, ";expires=600\r\n"},
		{"a wish that is shorter yet", "Contact: <sip:a@192.0.2.1>;expires=90", Verdict{MaxExpires: 10 * time.Minute}, ";expires=90\r\n"},
		{"longer than the policy", "Contact: <sip:a@192.0.2.1>;expires=9999", Verdict{MaxExpires: 2 * time.Hour}, ";expires=3600\r\n"},
		{"below the minimum", "Contact: <sip:a@192.0.2.1>", Verdict{MaxExpires: time.Second}, ";expires=60\r\n"},
		{"a phone that sleeps", sleeper + ";expires=9999", Verdict{MaxExpires: 10 * time.Minute}, ";expires=600\r\n"},
		{"too short to be woken", sleeper + ";expires=9999", Verdict{MaxExpires: 2 * time.Minute}, ";expires=240\r\n"},
		{"one contact", "Contact: <sip:a@192.0.2.1>, <sip:b@192.0.2.1>", Verdict{MaxContacts: 1}, "SIP/2.0 403 "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t, newStore(t))
			s.asks(func(_ *Input, _ string, answer func(Verdict)) { answer(tt.verdict) })
			x := s.exchange(request(1, tt.contact))
			// What the user may is not what counts.
			s.ServeUser(x, User{MaxContacts: 50})
			if got := <-x.answer; !strings.Contains(got, tt.want) {
				t.Errorf("answer\n%s\nwant %q", got, tt.want)
			}
		})
	}
}

// TestRefresh_Asked: a refresh in place grants no more than what was granted when
// somebody was asked.
func TestRefresh_Asked(t *testing.T) {
	const contact = "<sip:a@192.0.2.1>"
	x := newRefreshing(t, nil, func(p *Policy) {
		p.Ask = func(*Input, string, func(Verdict)) { t.Error("asked in place") }
	})
	in := x.input("one", 1)
	in.Expires = Expires{Present: true, Seconds: 600}
	x.apply(in, contact)
	for i, tt := range []struct {
		seconds uint32
		want    usrloc.Touched
	}{{600, usrloc.TouchDone}, {300, usrloc.TouchDone}, {301, usrloc.TouchDeclined}, {3600, usrloc.TouchDeclined}, {300, usrloc.TouchDone}} {
		in := x.input("one", uint32(i+2))
		in.Expires = Expires{Present: true, Seconds: tt.seconds}
		x.w.Input, x.w.Contact = in, contact
		if _, got := x.w.Try(x.store, nil, nil); got != tt.want {
			t.Errorf("a refresh for %d s: %v, want %v", tt.seconds, got, tt.want)
		}
	}
}
