package registrar

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"reveille/purr"
	"reveille/usrloc"
)

// plainGRUU shows what a temporary GRUU is for.
type plainGRUU struct{}

func (plainGRUU) AppendTempGRUU(dst []byte, user string, b *usrloc.Binding) []byte {
	return fmt.Appendf(dst, "temp-%s-%s-%d", user, b.Instance[len(b.Instance)-4:], b.GRUUSet)
}

func (plainGRUU) OpenTempGRUU(user string) (purr.TempGRUU, error) {
	if !strings.HasPrefix(user, "temp") {
		return purr.TempGRUU{}, errors.New("no token")
	}
	return purr.TempGRUU{}, nil
}

func withGRUU(p *Policy) { p.GRUU = plainGRUU{} }

const gruuContact = `<sip:a@h>;+sip.instance="<urn:uuid:F81D4FAE>"`

// supporting is input for a phone that supports extensions.
func (w *world) supporting(e Extensions, callID string, cseq uint32, contacts ...string) *Input {
	w.t.Helper()
	in := w.input(callID, cseq, contacts...)
	in.Supported = e
	return in
}

func (w *world) mustApply(in *Input) Result {
	w.t.Helper()
	res, err := w.apply(in)
	if err != nil {
		w.t.Fatal(err)
	}
	return res
}

func TestAppendOK_GRUU_RFC5627_5_2(t *testing.T) {
	const (
		plain = `Contact: <sip:a@h>;+sip.instance="<urn:uuid:F81D4FAE>";expires=3600`
		pub   = `;pub-gruu="sip:alice@example.com;gr=urn:uuid:F81D4FAE"`
	)
	for _, tt := range []struct {
		name   string
		change func(*Policy)
		e      Extensions
		want   string
	}{
		{"supported", withGRUU, ExtGRUU | ExtPath, plain + pub + `;temp-gruu="sip:temp-alice-4FAE-1795302000000@example.com;gr"`},
		{"not supported", withGRUU, ExtPath, plain},
		{"switched off", func(*Policy) {}, ExtGRUU, plain},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, tt.change)
			res := w.mustApply(w.supporting(tt.e, "one", 1, gruuContact))
			if got, want := w.ok(res), tt.want+"\r\n"; got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// Each contact with an instance is listed with GRUUs, whoever asks; others have
// none.
func TestAppendOK_GRUUOfEveryInstance_RFC5627_5_2(t *testing.T) {
	w := newWorld(t, withGRUU)
	w.mustRegister("one", 1, gruuContact)
	w.mustRegister("two", 1, "<sip:b@h>")
	res := w.mustApply(w.supporting(ExtGRUU, "three", 1))
	want := `Contact: <sip:a@h>;+sip.instance="<urn:uuid:F81D4FAE>";expires=3600` +
		`;pub-gruu="sip:alice@example.com;gr=urn:uuid:F81D4FAE";temp-gruu="sip:temp-alice-4FAE-1795302000000@example.com;gr"` + "\r\n" +
		"Contact: <sip:b@h>;expires=3600\r\n"
	if got := w.ok(res); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// A retransmission is answered like the request.
func TestApply_GRUUOfARetransmission(t *testing.T) {
	w := newWorld(t, withGRUU)
	in := w.supporting(ExtGRUU|ExtOutbound, "one", 1, gruuContact+";reg-id=1")
	in.Flow = streamFrom(5060)
	first := w.ok(w.mustApply(in))
	again := *in
	if res := w.mustApply(&again); !res.Retransmission || w.ok(res) != first {
		t.Errorf("got\n%s\nwant\n%s", w.ok(res), first)
	}
}

// The instance is the phone's to choose: whatever it is, the Contact stays one.
func TestAppendOK_GRUUIsEscaped(t *testing.T) {
	w := newWorld(t, withGRUU)
	res := w.mustApply(w.supporting(ExtGRUU, "one", 1, `<sip:a@h>;+sip.instance="<urn:x:a;b\"c d>"`))
	if want := `;pub-gruu="sip:alice@example.com;gr=urn:x:a%3Bb%22c%20d"`; !strings.Contains(w.ok(res), want) {
		t.Errorf("no %s in\n%s", want, w.ok(res))
	}
}

// What the phone sends as its GRUUs is neither kept nor sent back.
func TestApply_GRUUOfThePhoneIsIgnored_RFC5627_5_1(t *testing.T) {
	w := newWorld(t, withGRUU)
	res := w.mustApply(w.supporting(ExtGRUU, "one", 1, gruuContact+`;pub-gruu="sip:eve@example.com;gr=x";Temp-GRUU="sip:y@example.com;gr"`))
	if got := w.only().Params; got != `;+sip.instance="<urn:uuid:F81D4FAE>"` {
		t.Errorf("kept %q", got)
	}
	if got := w.ok(res); strings.Count(got, "-gruu=") != 2 || strings.Contains(got, "eve") {
		t.Errorf("answer\n%s", got)
	}
}

func TestApply_ContactIsAGRUU_RFC5627_5_1(t *testing.T) {
	const instance = `;+sip.instance="<urn:x:1>"`
	for _, tt := range []struct {
		name, contact string
		refused       bool
	}{
		{"public", "<sip:alice@example.com;gr=urn:x:1>" + instance, true},
		{"temporary", "<sip:temp0001one@EXAMPLE.com;gr>" + instance, true},
		{"temporary, no instance", "<sip:temp0001one@example.com;gr>", true},
		{"made elsewhere", "<sip:temp0001one@example.net;gr>" + instance, false},
		{"no token", "<sip:other@example.com;gr>" + instance, false},
		{"a user of that name", "<sip:temp0001one@example.com>" + instance, false},
		{"no SIP URI", "<tel:+1234>" + instance, true},
		{"no SIP URI, no instance", "<tel:+1234>", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, withGRUU)
			_, err := w.register("one", 1, tt.contact)
			if !tt.refused && err != nil {
				t.Error(err)
			} else if tt.refused {
				wantRefusal(t, err, 403)
			}
		})
	}
}

// handed returns the temporary GRUUs in an answer, one of each contact.
func handed(t *testing.T, keys *purr.Keyring, ok string) []purr.TempGRUU {
	t.Helper()
	var all []purr.TempGRUU
	for _, part := range strings.Split(ok, `;temp-gruu="sip:`)[1:] {
		user, _, _ := strings.Cut(part, "@")
		g, err := keys.OpenTempGRUU(user)
		if err != nil {
			t.Fatalf("open %q: %v", user, err)
		}
		all = append(all, g)
	}
	return all
}

// With the real keys: what a phone gets stays good over refreshes until the Call-ID
// changes, and over all its flows.
func TestRegister_TempGRUULivesWithTheCallID_RFC5627_5_1(t *testing.T) {
	const first, second, other = gruuContact + ";reg-id=1", gruuContact + ";reg-id=2", `<sip:a@h>;+sip.instance="<urn:x:other>"`
	type step struct {
		callID, contact string
		after           time.Duration
	}
	for _, tt := range []struct {
		name  string
		then  []step // after a REGISTER of the contact first under the Call-ID one
		stays bool
	}{
		{"a refresh", []step{{"one", first, 0}}, true},
		{"another Call-ID", []step{{"two", first, 0}}, false},
		{"the first Call-ID again", []step{{"two", first, 0}, {"one", first, 0}}, false},
		{"in the same millisecond", []step{{"two", first, -time.Minute}}, false},
		{"another flow, of its own Call-ID", []step{{"two", second, 0}}, true},
		{"a refresh of the other flow", []step{{"two", second, 0}, {"two", second, 0}}, true},
		{"another Call-ID of the other flow", []step{{"two", second, 0}, {"three", second, 0}}, false},
		{"that of the other flow", []step{{"two", second, 0}, {"two", first, 0}}, false},
		{"its flow left, another lives", []step{{"two", second, 0}, {"one", first + ";expires=0", 0}}, true},
		{"its flow came back", []step{{"two", second, 0}, {"one", first + ";expires=0", 0}, {"three", first, 0}}, true},
		{"its flow expired, another lives", []step{{"two", second + ";expires=7000", 0}, {"two", second, 3700 * time.Second}}, true},
		{"all flows left", []step{{"one", first + ";expires=0", 0}, {"one", first, 0}}, false},
		{"expired", []step{{"one", first, 3700 * time.Second}}, false},
		{"another phone", []step{{"two", other, 0}}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			keys := purr.Generate(birthday)
			w := newWorld(t, func(p *Policy) { p.GRUU, p.MaxExpires = keys, 2*time.Hour })
			do := func(callID string, cseq uint32, contact string) Result {
				t.Helper()
				in := w.supporting(ExtGRUU|ExtOutbound, callID, cseq, contact)
				in.Flow = streamFrom(5060)
				return w.mustApply(in)
			}
			before := handed(t, keys, w.ok(do("one", 1, first)))[0]
			var res Result
			for i, s := range tt.then {
				w.after(time.Minute + s.after)
				res = do(s.callID, uint32(i+2), s.contact)
			}
			now := handed(t, keys, w.ok(res))
			live := slices.DeleteFunc(slices.Clone(w.rec.Bindings), func(b usrloc.Binding) bool { return b.Expired(w.now) })
			for i := range live {
				b := &live[i]
				if usrloc.SameInstance(b.Instance, "urn:uuid:f81d4fae") && before.Of(b) != tt.stays {
					t.Errorf("the first GRUU is of binding %d: %v, want %v", i, !tt.stays, tt.stays)
				}
				if !now[i].Of(b) || now[i].User != "alice" {
					t.Errorf("the GRUU of binding %d in the answer: %+v", i, now[i])
				}
			}
		})
	}
}

// A user whose name no GRUU can hold has public ones alone.
func TestAppendGRUUs_LongUser(t *testing.T) {
	aor := usrloc.AOR("sip:" + strings.Repeat("x", purr.MaxGRUUUser+1) + "@example.com")
	got := string(appendGRUUs(nil, purr.Generate(birthday), aor, &usrloc.Binding{Instance: "urn:x:1"}))
	if want := `;pub-gruu="` + string(aor) + `;gr=urn:x:1"`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
