package registrar

import (
	"errors"
	"strings"
	"testing"
	"time"

	"reveille/purr"
	"reveille/usrloc"
)

// plainGRUU shows what a temporary GRUU is for.
type plainGRUU struct{}

func (plainGRUU) AppendTempGRUU(dst []byte, id usrloc.BindingID, callID string) []byte {
	return append(append(append(dst, "temp"...), id.String()[28:]...), callID...)
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
		{"supported", withGRUU, ExtGRUU | ExtPath, plain + pub + `;temp-gruu="sip:temp0001one@example.com;gr"`},
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
		`;pub-gruu="sip:alice@example.com;gr=urn:uuid:F81D4FAE";temp-gruu="sip:temp0001one@example.com;gr"` + "\r\n" +
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

// With the real keys: what a phone gets opens as its binding, and stays good over
// refreshes until the Call-ID changes.
func TestRegister_TempGRUULivesWithTheCallID_RFC5627_5_1(t *testing.T) {
	keys := purr.Generate(birthday)
	w := newWorld(t, func(p *Policy) { p.GRUU = keys })
	gruuOf := func(res Result) purr.TempGRUU {
		t.Helper()
		_, rest, _ := strings.Cut(w.ok(res), `;temp-gruu="sip:`)
		user, _, _ := strings.Cut(rest, "@")
		g, err := keys.OpenTempGRUU(user)
		if err != nil {
			t.Fatalf("open %q: %v", user, err)
		}
		return g
	}
	first := gruuOf(w.mustApply(w.supporting(ExtGRUU, "one", 1, gruuContact)))
	w.after(time.Minute)
	second := gruuOf(w.mustApply(w.supporting(ExtGRUU, "one", 2, gruuContact)))
	if b := w.only(); first.Binding != b.ID || second.Binding != b.ID || !first.Valid(b.CallID) || !second.Valid(b.CallID) {
		t.Errorf("GRUUs %v and %v of binding %s", first, second, b.ID)
	}
	w.after(time.Minute)
	third := gruuOf(w.mustApply(w.supporting(ExtGRUU, "two", 1, gruuContact)))
	if b := w.only(); first.Valid(b.CallID) || second.Valid(b.CallID) || !third.Valid(b.CallID) || third.Binding != first.Binding {
		t.Errorf("after a new Call-ID: GRUUs %v, %v, %v of binding %s", first, second, third, b.ID)
	}
}
