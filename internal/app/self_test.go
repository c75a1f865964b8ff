package app

import (
	"crypto/rand"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"reveille/configs"
	"reveille/internal/admin"
	"reveille/internal/console"
	"reveille/internal/contacts"
	"reveille/usrloc"
)

// plant writes a canary into every Secret below v, and returns how many there are.
// Groups and lists that are empty get an entry.
func plant(v reflect.Value, canary string) (n int) {
	switch {
	case v.Type() == reflect.TypeFor[configs.Secret]():
		v.SetString(canary)
		return 1
	case v.Kind() == reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		return plant(v.Elem(), canary)
	case v.Kind() == reflect.Slice && (v.Type().Elem().Kind() == reflect.Struct || v.Type().Elem() == reflect.TypeFor[configs.Secret]()):
		if v.Len() == 0 {
			v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		}
		for i := range v.Len() {
			n += plant(v.Index(i), canary)
		}
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				n += plant(v.Field(i), canary)
			}
		}
	}
	return n
}

// TestSelf_ConfigTellsNoSecret: whatever key holds a secret, GET /v1/config does not
// tell it.
func TestSelf_ConfigTellsNoSecret(t *testing.T) {
	const canary = "canary-in-every-secret"
	cfg := configs.Default()
	if n := plant(reflect.ValueOf(cfg).Elem(), canary); n < 10 {
		t.Fatalf("planted %d only", n)
	}
	a := &App{config: cfg, loads: newConfigState(prometheus.NewRegistry())}
	got, err := a.loaded()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(got.YAML, canary) || !strings.Contains(got.YAML, "<redacted>") || got.Generation != 1 {
		t.Errorf("generation %d, the canary is told, or nothing is redacted:\n%s", got.Generation, got.YAML)
	}
}

func TestSelf_StatusAndStats(t *testing.T) {
	r := newRig(t, openYAML, storeYAML(t.TempDir()))
	r.register(r.phone("alice", "tcp", "token-of-alice"))
	r.register(r.phone("bob", "tcp", ""))
	st, err := r.status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := admin.Registrations{Users: 2, Bindings: 2, Wakeable: 1}
	counted := st.Registrations.Counted
	st.Registrations.Counted = nil
	if st.Registrations != want || counted == nil || counted.Awake != 2 || counted.Asleep+counted.Dormant+counted.Unreachable != 0 {
		t.Errorf("registrations %+v, %+v", st.Registrations, counted)
	}
	if !st.Ready || st.Draining || st.Overloaded || st.Waiting != 0 || st.Config.Generation != 1 || len(st.Listeners) != 2 || st.Listeners[1].Addr != r.Addr("tcp").String() {
		t.Errorf("status %+v", st)
	}
	figures, err := r.stats()
	if err != nil || figures.AcceptedRegs < 2 || figures.RejectedRegs != 0 || figures.RegisteredUsers != 2 || figures.LocationContacts != 2 ||
		figures.MaxExpires == 0 || figures.DefaultsExpires != figures.DefaultExpires {
		t.Errorf("stats %+v, %v", figures, err)
	}
	if flush := r.selfCalls().Flush; flush == nil {
		t.Error("a store on disk cannot be flushed")
	} else if err := flush(); err != nil {
		t.Errorf("flush: %v", err)
	}
	if err := r.Reload(r.config(openYAML)); err == nil {
		t.Error("a reload without the store is taken over")
	}
	if err := r.Reload(r.App.config); err != nil {
		t.Fatal(err)
	}
	if st, err := r.status(t.Context()); err != nil || st.Config.Generation != 2 {
		t.Errorf("after a reload: %+v, %v", st.Config, err)
	}
}

// TestStatus_CountsWhatListsSay: a phone is in one state wherever it is asked for.
func TestStatus_CountsWhatListsSay(t *testing.T) {
	r := newRig(t)
	asleep := r.phone("alice", "tcp", "token-of-alice")
	r.register(asleep)
	asleep.Sleep()
	r.eventually("alice's phone is asleep", func() bool { return r.only("alice@example.com").State == contacts.Asleep })
	now := time.Now()
	for i, b := range []usrloc.Binding{
		{Contact: "sip:a@192.0.2.20;transport=tcp", Expires: now.Add(time.Hour), RetainUntil: now.Add(time.Hour)},
		{Contact: "sip:b@192.0.2.20", CallID: "c", Expires: now.Add(time.Hour), RetainUntil: now.Add(time.Hour)},
		{Contact: "sip:c@192.0.2.20", CallID: "c", Push: usrloc.Push{Provider: "fcm", PRID: "t"}, Expires: now.Add(-time.Hour), RetainUntil: now.Add(time.Hour)},
	} {
		r.put(usrloc.AOR("sip:"+string(rune('b'+i))+"@example.com"), b)
	}
	want := admin.Counted{Awake: 1, Asleep: 1, Dormant: 1, Unreachable: 1}
	var listed admin.Counted
	l, err := r.book().Users(t.Context(), "", contacts.Page{})
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range l.Users {
		listed.Awake += u.Awake
		listed.Asleep += u.Asleep
		listed.Dormant += u.Dormant
		listed.Unreachable += u.Unreachable
	}
	st, err := r.status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := *st.Registrations.Counted
	if got.At.IsZero() {
		t.Error("nobody says when they were counted")
	}
	got.At = time.Time{}
	if got != want || listed != want {
		t.Errorf("status counts %+v, lists say %+v, want %+v", got, listed, want)
	}
	onPage, err := r.counts(t.Context())
	if err != nil || onPage != (console.Counts{Users: 4, Awake: 1, Asleep: 1, Dormant: 1, Unreachable: 1}) {
		t.Errorf("the console counts %+v, %v", onPage, err)
	}
}

// put stores a registration.
func (r *rig) put(aor usrloc.AOR, b usrloc.Binding) {
	r.t.Helper()
	var err error
	if b.ID, err = usrloc.NewBindingID(aor, rand.Reader); err != nil {
		r.t.Fatal(err)
	}
	ended := make(chan error, 1)
	r.Store().Update(r.t.Context(), aor, func(rec usrloc.Record) (usrloc.Record, error) {
		rec.Bindings = append(slices.Clone(rec.Bindings), b)
		return rec, nil
	}, func(_ usrloc.Record, _ []usrloc.Change, err error) { ended <- err })
	if err := <-ended; err != nil {
		r.t.Fatal(err)
	}
}
