package event

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"reveille/flow"
)

// filled returns an event of e's struct whose fields have values, with secret in
// every Secret.
func filled(e Event, secret string) Event {
	v := reflect.New(reflect.TypeOf(e)).Elem()
	v.Set(reflect.ValueOf(e))
	for i := range v.NumField() {
		f := v.Field(i)
		switch f.Interface().(type) {
		case Secret:
			f.SetString(secret)
			continue
		case flow.Flow:
			f.Set(reflect.ValueOf(flow.Flow{Listener: "main", Transport: flow.TCP, Remote: netip.MustParseAddrPort("192.0.2.7:40000"), Conn: 17}))
			continue
		case time.Time:
			f.Set(reflect.ValueOf(time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)))
			continue
		}
		if !f.IsZero() {
			continue
		}
		switch f.Kind() {
		case reflect.String:
			f.SetString(strings.ToLower(v.Type().Field(i).Name))
		case reflect.Int, reflect.Int64:
			f.SetInt(7000)
		case reflect.Uint8:
			f.SetUint(uint64(RuleSource))
		case reflect.Uint32:
			f.SetUint(7)
		case reflect.Bool:
			f.SetBool(true)
		case reflect.Slice:
			if f.Type() == reflect.TypeFor[[]Try]() {
				f.Set(reflect.ValueOf([]Try{{Class: "ok", Status: 200}}))
				continue
			}
			f.Set(reflect.ValueOf([]string{"<sip:192.0.2.9;lr>"}))
		case reflect.Pointer:
			f.Set(reflect.ValueOf(&Sleeper{Instance: "urn:uuid:1", Provider: "fcm", Deadline: time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC), Lacks: "NoToken"}))
		case reflect.Map:
			f.Set(reflect.ValueOf(map[string]string{"plan": "gold"}))
		case reflect.Interface:
			f.Set(reflect.ValueOf(errors.New("reset by peer")))
		}
	}
	return v.Interface().(Event)
}

func TestEncode_EveryTypeHasAllItsFields(t *testing.T) {
	names := map[string]bool{}
	for _, info := range Types() {
		if info.Example.Type() != info.Name || names[info.Name] {
			t.Errorf("the example of %s is a %s", info.Name, info.Example.Type())
		}
		names[info.Name] = true
		e := filled(info.Example, "token")
		if x, ok := e.(Explained); ok {
			x.Outcome = answered // Else it has no time of an answer.
			e = x
		}
		b, err := Encode(e, "id", time.Date(2026, 11, 22, 9, 0, 0, 5, time.FixedZone("", 3600)), 3, Tokens)
		if err != nil {
			t.Fatal(err)
		}
		var got Envelope
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatal(err)
		}
		if got.V != 1 || got.ID != "id" || got.Node != 3 || got.Type != info.Name || !strings.Contains(string(b), `"time":"2026-11-22T08:00:00.000000005Z"`) {
			t.Errorf("%s is %s", info.Name, b)
		}
		var fields map[string]any
		if err := json.Unmarshal(got.Data, &fields); err != nil {
			t.Fatal(err)
		}
		for f := range reflect.TypeOf(e.data(Tokens)).Fields() {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if f.Tag.Get("doc") == "" {
				t.Errorf("%s: nothing says what %s is", info.Name, name)
			}
			_, there := fields[name]
			// Some are of push.send alone.
			if want := info.Name != "push.requested" || !slices.Contains([]string{"app", "token", "p256dh", "auth", "extra"}, name); there != want {
				t.Errorf("%s: has %s: %v", info.Name, name, there)
			}
		}
	}
}

// TestEncode_TokensAreShownToWhomTheyAreFor looks at every way out of an event: JSON
// without tokens, the log, fmt. No field of plain text may be there for a secret.
func TestEncode_TokensAreShownToWhomTheyAreFor(t *testing.T) {
	const token = "planted-token"
	for _, info := range Types() {
		e := filled(info.Example, token)
		var b bytes.Buffer
		log := NewLog(slog.New(slog.NewJSONHandler(&b, &slog.HandlerOptions{Level: slog.LevelDebug})))
		log.Emit(e)
		fmt.Fprintf(&b, "%v %+v %#v %s", e, e, e, e)
		if err := json.NewEncoder(&b).Encode(e); err != nil {
			t.Fatal(err)
		}
		plain, err := Encode(e, "", time.Time{}, 0, Params)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(plain)
		if strings.Contains(b.String(), token) {
			t.Errorf("%s tells the token: %s", info.Name, b.String())
		}
		whole, err := Encode(e, "", time.Time{}, 0, Tokens)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(string(whole), token); got != (DetailOf(e) == Tokens) || got != (info.Name == "push.send") {
			t.Errorf("%s with tokens has one: %v", info.Name, got)
		}
		for f := range reflect.TypeOf(e).Fields() {
			secret := f.Name == "Auth" || slices.ContainsFunc([]string{"token", "prid", "secret", "password", "ha1", "p256dh"}, func(s string) bool {
				return strings.Contains(strings.ToLower(f.Name), s)
			})
			if secret && f.Type != reflect.TypeFor[Secret]() {
				t.Errorf("%T.%s is a %v", e, f.Name, f.Type)
			}
		}
	}
}

// TestEncode_ParamsAreShownToWhomTheyAreFor: nothing of what wakes a phone but the push
// service's name is in the plain form, and a form of DetailOf is the whole one.
func TestEncode_ParamsAreShownToWhomTheyAreFor(t *testing.T) {
	const param = "planted-param"
	for _, info := range Types() {
		e := filled(info.Example, "token")
		v := reflect.New(reflect.TypeOf(e)).Elem()
		v.Set(reflect.ValueOf(e))
		if f := v.FieldByName("Param"); f.IsValid() {
			f.SetString(param)
		}
		if f := v.FieldByName("Sleeper"); f.IsValid() {
			f.Interface().(*Sleeper).Param = param
		}
		e = v.Interface().(Event)
		var forms []string
		for _, d := range []Detail{Plain, Params, Tokens} {
			b, err := Encode(e, "", time.Time{}, 0, d)
			if err != nil {
				t.Fatal(err)
			}
			forms = append(forms, string(b))
			if shown := strings.Contains(string(b), param); shown && d == Plain || shown != (v.FieldByName("Param").IsValid() && d > Plain) {
				t.Errorf("%s at level %d: %s", info.Name, d, b)
			}
		}
		if most := DetailOf(e); forms[most] != forms[Tokens] || most > Plain && forms[most] == forms[most-1] {
			t.Errorf("%s has forms %q, and the last is said to be %d", info.Name, forms, most)
		}
	}
}

func TestEncode_LeavesOutWhatIsUnknown(t *testing.T) {
	for _, tt := range []struct {
		name string
		e    Event
		want string
	}{
		{
			"refused",
			Registration{Action: "refused", AOR: "sip:a@example.com", Cause: "register", Status: 423, Reason: "Interval Too Brief"},
			`{"aor":"sip:a@example.com","domain":"example.com","cause":"register","wakeable":false,"status":423,"reason":"Interval Too Brief"}`,
		},
		{"q", Registration{Action: "created", Binding: "1", Q: 500}, `{"aor":"","domain":"","cause":"","binding":"1","q":0.5,"wakeable":false}`},
		{"no q", Registration{Action: "created", Binding: "1", Q: -1}, `{"aor":"","domain":"","cause":"","binding":"1","wakeable":false}`},
		{"call", Call{Step: "failed", Method: "INVITE", CallID: "c", Elapsed: 1500 * time.Microsecond}, `{"method":"INVITE","call_id":"c","elapsed_ms":1.5,"by":"server"}`},
	} {
		b, err := json.Marshal(tt.e.data(Params))
		if err != nil || string(b) != tt.want {
			t.Errorf("%s: %s, %v, want %s", tt.name, b, err, tt.want)
		}
	}
}

func TestWakeReason(t *testing.T) {
	for _, tt := range []struct{ kind, method, want string }{
		{"refresh", "", "reg-refresh"}, {"call", "INVITE", "ini-INVITE"}, {"message", "MESSAGE", "ini-MESSAGE"}, {"mid_dialog", "BYE", "mid-BYE"}, {"cancel", "", "cancel"},
	} {
		if got := wakeReason(tt.kind, tt.method); got != tt.want {
			t.Errorf("wakeReason(%s, %s) = %s, want %s", tt.kind, tt.method, got, tt.want)
		}
	}
}

func TestAbout(t *testing.T) {
	for _, info := range Types() {
		e := filled(info.Example, "")
		_, has := reflect.TypeOf(e).FieldByName("AOR")
		if got := About(e); (got == "aor") != has {
			t.Errorf("About(%s) = %q", info.Name, got)
		}
	}
}

func TestFilter(t *testing.T) {
	for _, tt := range []struct {
		name     string
		patterns []string
		aor      string
		takes    []string
		leaves   []string
	}{
		{"all", nil, "", []string{"binding.refreshed", "push.send"}, nil},
		{"a group", []string{"binding.*"}, "", []string{"binding.refreshed"}, []string{"push.send"}},
		{"all but one", []string{"*", "!binding.refreshed"}, "", []string{"binding.updated", "push.send"}, []string{"binding.refreshed"}},
		{"leaving out alone", []string{"!push.*"}, "", []string{"binding.updated"}, []string{"push.send"}},
		{"one of two", []string{"push.send", "request.parked"}, "", []string{"push.send", "request.parked"}, []string{"push.requested"}},
		{"another user", nil, "sip:b@example.com", nil, []string{"push.send"}},
	} {
		f, err := NewFilter(tt.patterns, tt.aor)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range tt.takes {
			if !f.Matches(name, "sip:a@example.com") {
				t.Errorf("%s: %s is left out", tt.name, name)
			}
		}
		for _, name := range tt.leaves {
			if f.Matches(name, "sip:a@example.com") {
				t.Errorf("%s: %s is taken", tt.name, name)
			}
		}
	}
	for _, bad := range []string{"", "!", "[", "!["} {
		if _, err := NewFilter([]string{bad}, ""); err == nil {
			t.Errorf("NewFilter(%q) is taken", bad)
		}
	}
	for pattern, want := range map[string]bool{"*": true, "!binding.refreshed": true, "binding.refresh": false, "push.*": true, "!": false, "[": false} {
		if got := Known(pattern); got != want {
			t.Errorf("Known(%q) = %v", pattern, got)
		}
	}
}
