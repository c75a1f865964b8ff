package contacts

import (
	"encoding/json"
	"iter"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reveille/flow"
	"reveille/usrloc"
)

func mapValues[K comparable, V any](m map[K]V) iter.Seq[V] { return maps.Values(m) }

// plainView knows nothing but the bindings.
func plainView() *view {
	return &view{
		now:    time.Date(2026, 11, 22, 12, 30, 0, 0, time.UTC),
		state:  func(*usrloc.Binding, time.Time) string { return Awake },
		wake:   func(usrloc.BindingID) *WakeHabit { return nil },
		socket: func(f flow.Flow) string { return strings.ToLower(f.Transport.String()) + ":198.51.100.1:5060" },
	}
}

func TestContact_ShowsEveryFieldOfULC(t *testing.T) {
	b := bindings()["push"]
	b.ID[0], b.ID[15] = 0xab, 0x01
	b.Q, b.RegID, b.Methods, b.Attributes = 700, 2, usrloc.MethodInvite|usrloc.MethodOther, `{"x-app":"1"}`
	b.Path, b.Received = []string{"<sip:edge.example.com;lr>"}, "sip:203.0.113.77:1234"
	b.RefreshAt, b.Flow.Node = b.Expires.Add(-time.Minute), 3
	v := plainView()
	v.memory, v.state = true, func(*usrloc.Binding, time.Time) string { return Asleep }
	v.wake = func(usrloc.BindingID) *WakeHabit { return &WakeHabit{Successes: 4, Average: 1.5} }
	q := 0.7
	want := Contact{
		ID: "ab000000000000000000000000000001", AOR: "sip:alice@example.com", Domain: "example.com", AORHash: int(usrloc.Partition(alice)), State: Asleep,
		Contact: "sip:b@10.0.0.8:5061;transport=tls", Path: b.Path, Received: "sip:203.0.113.77:1234",
		Expires: b.Expires, ExpiresAt: b.Expires.Unix(), ExpiresIn: 1800, CallID: "c2", CSeq: 3, Q: &q,
		Flags: []string{InMemory}, CFlags: []string{NAT, Push}, UserAgent: "OurApp/2 (iOS)", Socket: "tls:198.51.100.1:5060", Flow: b.Flow.String(),
		Node: 3, Connection: 17, Created: b.Created, Modified: b.Updated, Methods: []string{"INVITE", "*"},
		Instance: b.Instance, RegID: 2, Provider: "apns", RefreshAt: b.RefreshAt, Attributes: map[string]string{"x-app": "1"}, Wake: &WakeHabit{Successes: 4, Average: 1.5},
	}
	if d := cmp.Diff(want, v.contact(alice, &b)); d != "" {
		t.Errorf("contact (-want +got):\n%s", d)
	}
	v.secrets = true
	want.Contact, want.Push = b.Contact, &PushParams{Provider: "apns", Param: "T.app.voip", PRID: "0123456789ABCDEF"}
	if d := cmp.Diff(want, v.contact(alice, &b)); d != "" {
		t.Errorf("contact with its token (-want +got):\n%s", d)
	}
}

func TestContact_NoTokenUnlessAskedFor(t *testing.T) {
	for name, b := range bindings() {
		text, err := json.Marshal(plainView().contact(alice, &b))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "0123456789ABCDEF") || strings.Contains(string(text), "pn-") {
			t.Errorf("%s is shown as %s", name, text)
		}
	}
}

func TestContact_FlagsAndPlaces(t *testing.T) {
	for _, tt := range []struct {
		name, received string
		flags, cflags  []string
	}{
		{"nat", "sip:203.0.113.5:40000", nil, []string{NAT}},
		{"push", "sip:203.0.113.5:40001;transport=tls", nil, []string{NAT, Push}},
		{"edge", "", nil, nil},
		{"edge that told", "sip:203.0.113.77:1234", nil, []string{NAT}},
		{"v6", "sip:[2001:db8::7]:5060", nil, nil},
		{"static", "", []string{Static}, nil},
	} {
		b := bindings()[tt.name]
		c := plainView().contact(alice, &b)
		got := []any{c.Received, append([]string(nil), c.Flags...), append([]string(nil), c.CFlags...)}
		if d := cmp.Diff([]any{tt.received, tt.flags, tt.cflags}, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, d)
		}
	}
}

func TestUser_DormantIsNotRegistered(t *testing.T) {
	ended := bindings()["push"]
	v := plainView()
	ended.Expires, ended.RetainUntil = v.now.Add(-time.Minute), v.now.Add(time.Hour)
	u := v.user(&usrloc.Record{AOR: alice, Bindings: []usrloc.Binding{ended}})
	if u.Registered || u.Count != 1 || u.Contacts[0].ExpiresIn != -60 || !u.Contacts[0].Retained.Equal(ended.RetainUntil) {
		t.Errorf("a user whose only phone is dormant: %+v", u)
	}
	if u = v.user(&usrloc.Record{AOR: alice, Bindings: []usrloc.Binding{ended, bindings()["nat"]}}); !u.Registered || u.Count != 2 {
		t.Errorf("a user with another phone: %+v", u)
	}
}

func TestSummary(t *testing.T) {
	v := plainView()
	states := []string{Awake, Asleep, Asleep, Dormant, Unreachable}
	v.state = func(b *usrloc.Binding, _ time.Time) string { return states[b.CSeq] }
	rec := usrloc.Record{AOR: "sip:example.org"}
	for i := range states {
		b := bindings()["nat"]
		b.CSeq = uint32(i)
		b.Updated, b.Expires = b.Updated.Add(-time.Duration(i)*time.Minute), b.Expires.Add(time.Duration(i)*time.Minute)
		rec.Bindings = append(rec.Bindings, b)
	}
	want := UserSummary{
		AOR: "sip:example.org", Domain: "example.org", AORHash: int(usrloc.Partition("sip:example.org")), Registered: true, Count: 5, Awake: 1, Asleep: 2, Dormant: 1, Unreachable: 1,
		Modified: rec.Bindings[0].Updated, Expires: rec.Bindings[4].Expires,
	}
	if d := cmp.Diff(want, v.summary(&rec)); d != "" {
		t.Errorf("summary (-want +got):\n%s", d)
	}
}
