package registrar

import (
	"strings"
	"testing"
	"time"

	"reveille/usrloc"
)

// TestServe_Capture: header fields are kept with the contact and follow the next
// REGISTER, a refresh too.
func TestServe_Capture(t *testing.T) {
	store := newStore(t)
	s := newServer(t, store)
	p := *s.Policy()
	p.Capture = []string{"X-Model", "X-Absent"}
	if err := s.SetPolicy(p); err != nil {
		t.Fatal(err)
	}
	for i, tt := range []struct{ header, want string }{
		{"X-Model: A \"7\"", `{"x-model":"A \"7\""}`},
		{"x-model: B", `{"x-model":"B"}`},
		{"X-Model: " + strings.Repeat("x", 127) + "\u00e9", `{"x-model":"` + strings.Repeat("x", 127) + `"}`},
		{"X-Other: C", ""},
	} {
		s.roundTrip(request(i+1, "Contact: <sip:a@192.0.2.1>", tt.header))
		rec, err := store.Get(t.Context(), "sip:alice@example.com")
		if err != nil || len(rec.Bindings) != 1 || rec.Bindings[0].Attributes != tt.want {
			t.Errorf("%s: %+v, %v; want %s", tt.header, rec.Bindings, err, tt.want)
		}
	}
}

// TestServe_AttributesOfAVerdict: what somebody says who is asked stays until they
// say something else.
func TestServe_AttributesOfAVerdict(t *testing.T) {
	store := newStore(t)
	s := newServer(t, store)
	p := *s.Policy()
	var verdict Verdict
	p.Ask = func(_ *Input, _ string, answer func(Verdict)) { answer(verdict) }
	if err := s.SetPolicy(p); err != nil {
		t.Fatal(err)
	}
	gold, none := AttributesOf(map[string]string{"plan": "gold", "a": "1"}), AttributesOf(nil)
	for i, tt := range []struct {
		says *string
		want string
	}{{nil, ""}, {&gold, `{"a":"1","plan":"gold"}`}, {nil, `{"a":"1","plan":"gold"}`}, {&none, ""}} {
		verdict.Attributes = tt.says
		s.roundTrip(request(i+1, "Contact: <sip:a@192.0.2.1>"))
		rec, err := store.Get(t.Context(), "sip:alice@example.com")
		if err != nil || len(rec.Bindings) != 1 || rec.Bindings[0].Attributes != tt.want {
			t.Errorf("REGISTER %d: %+v, %v; want %s", i+1, rec.Bindings, err, tt.want)
		}
	}
}

// TestActionOf_Attributes: a refresh with other attributes is one that somebody
// wants to hear of.
func TestActionOf_Attributes(t *testing.T) {
	was := usrloc.Binding{Contact: "sip:a@192.0.2.1", Expires: time.Now()}
	is := was
	is.Attributes = `{"a":"1"}`
	if got := actionOf(&usrloc.Change{Kind: usrloc.Updated, Old: &was, New: &is}); got != usrloc.Updated.String() {
		t.Errorf("action %s", got)
	}
}
