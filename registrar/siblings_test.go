package registrar

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reveille/usrloc"
)

// hold puts a binding for each contact into the store, whatever they have in
// common: a REGISTER each would join some of them. Contact i has Call-ID ci.
func (x *refreshing) hold(contacts ...string) {
	x.t.Helper()
	set := func(bindings []usrloc.Binding) {
		x.store.Update(x.t.Context(), alice, func(rec usrloc.Record) (usrloc.Record, error) {
			rec.Bindings = bindings
			return rec, nil
		}, func(_ usrloc.Record, _ []usrloc.Change, err error) {
			if err != nil {
				x.t.Fatal(err)
			}
		})
	}
	var all []usrloc.Binding
	for i, contact := range contacts {
		set(nil)
		x.apply(x.input(fmt.Sprint("c", i), 1), contact)
		all = append(all, x.record().Bindings...)
	}
	set(nil)
	set(all) // in this order
}

// refreshesOne tries to refresh the binding of a contact, compares with Apply if
// that is done, and reports whether it is.
func (x *refreshing) refreshesOne(in Input, contact string) bool {
	x.t.Helper()
	before := x.record()
	got, ok := x.try(in, contact)
	after := x.record()
	if !ok {
		// Showing a difference takes long; to see that there is none does not.
		if !reflect.DeepEqual(before, after) {
			if d := cmp.Diff(before, after, sameRecord); d != "" {
				x.t.Fatalf("declined and changed %s:\n%s", contact, d)
			}
		}
		return false
	}
	na := x.contact(contact)
	in.Contacts = []Contact{x.read(&na, &in)}
	policy := x.r.policy.Load().of(&in)
	want, res, err := Apply(policy, before, &in)
	if err != nil {
		x.t.Fatalf("Try takes %s, Apply: %v", contact, err)
	}
	if full(want) != full(after) {
		x.t.Fatalf("Try and Apply (-Apply +Try) of %s:\n%s", contact, cmp.Diff(want, after, sameRecord))
	}
	if ok := string(AppendOK(nil, policy, &want, &res, in.Now)); got != ok {
		x.t.Fatalf("Try answers\n%s\nApply\n%s", got, ok)
	}
	return true
}

const (
	deskContact   = `<sip:desk@192.0.2.7:5062;transport=tcp>;q=0.2`
	tabletContact = `<sip:alice@192.0.2.8:5060;pn-provider=apns;pn-param=TEAM.app;pn-prid=00aa11bb>;+sip.instance="<urn:x:9>"`
	// A phone that has a token and no instance.
	bareContact = `<sip:alice@192.0.2.3:5060;pn-provider=fcm;pn-param=proj;pn-prid=bare>`
)

// A device beside others is refreshed in place exactly if it is none of them: what
// is one device becomes one binding (RFC 8599 §4.1.1, RFC 5626 §6).
func TestRefresh_Beside(t *testing.T) {
	byParameter := func(p *Policy) { p.Match, p.MatchParam = MatchParameter, "line" }
	byCallID := func(p *Policy) { p.Match = MatchURICallID }
	for _, tt := range []struct {
		name     string
		contacts []string // the first one is refreshed
		policy   func(*Policy)
		want     bool
	}{
		{name: "mobile, desk and tablet", contacts: []string{pushContact, deskContact, tabletContact}, want: true},
		{name: "desk, mobile and tablet", contacts: []string{deskContact, pushContact, tabletContact}, want: true},
		{name: "four", contacts: []string{bareContact, pushContact, deskContact, tabletContact}, want: true},
		{name: "five", contacts: []string{bareContact, pushContact, deskContact, tabletContact, plainContact}},
		{name: "two flows, one token", contacts: []string{
			pushContact, `<sip:alice@192.0.2.1:5060;pn-provider=fcm;pn-param=proj;pn-prid=token>;+sip.instance="<urn:x:1>";reg-id=2`,
		}, want: true},
		{name: "one instance, without reg-id", contacts: []string{
			pushContact, `<sip:alice@192.0.2.4:5060;pn-provider=fcm;pn-param=proj;pn-prid=other>;+sip.instance="<urn:x:1>"`,
		}},
		{name: "one token, two instances", contacts: []string{
			pushContact, `<sip:alice@192.0.2.4:5060;pn-provider=fcm;pn-param=proj;pn-prid=%74oken>;+sip.instance="<urn:x:2>"`,
		}},
		{name: "two tokens behind one address", contacts: []string{
			bareContact, `<sip:alice@192.0.2.3:5060;pn-provider=fcm;pn-param=proj;pn-prid=old>`,
		}},
		{name: "two apps behind one address", contacts: []string{
			bareContact, `<sip:alice@192.0.2.3:5060;pn-provider=fcm;pn-param=another;pn-prid=old>`,
		}, want: true},
		{name: "no token yet", contacts: []string{bareContact, `<sip:alice@192.0.2.3:5060>`}},
		{name: "one URI in two ways", contacts: []string{`<sip:desk@192.0.2.7:5062;transport=tcp;ob>`, `<sip:desk@192.0.2.7:5062;TRANSPORT=TCP>`}},
		{name: "one line", contacts: []string{`<sip:alice@192.0.2.1;line=1>`, `<sip:alice@192.0.2.2;line=1>`}, policy: byParameter},
		{name: "two lines", contacts: []string{`<sip:alice@192.0.2.1;line=1>`, `<sip:alice@192.0.2.1;line=2>`}, policy: byParameter, want: true},
		{name: "two Call-IDs", contacts: []string{plainContact, plainContact}, policy: byCallID, want: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x := newRefreshing(t, nil, func(p *Policy) {
				if tt.policy != nil {
					tt.policy(p)
				}
			})
			x.hold(tt.contacts...)
			x.now = x.now.Add(time.Minute)
			if got := x.refreshesOne(x.input("c0", 2), tt.contacts[0]); got != tt.want {
				t.Errorf("refreshed in place: %v, want %v", got, tt.want)
			}
		})
	}
}

// TestRefresh_BesideIsApply refreshes each of two devices, whatever they are.
func TestRefresh_BesideIsApply(t *testing.T) {
	contacts := append([]string{
		deskContact, tabletContact, bareContact,
		`<sip:alice@192.0.2.1:5060;pn-provider=fcm;pn-param=proj;pn-prid=token>`,
		`<sip:alice@192.0.2.1:5060;pn-provider=fcm;pn-param=proj;pn-prid=rotated>;+sip.instance="<urn:x:1>";reg-id=2`,
		`<sip:alice@192.0.2.1:5060;pn-provider=FCM;pn-param=proj;pn-prid=token>;+sip.instance="<urn:x:4>"`,
		`<sip:alice@192.0.2.1:5060>;+sip.instance="<urn:x:1>"`, `<tel:+15550100>`,
	}, refreshContacts...)
	for name, change := range refreshPolicies {
		t.Run(name, func(t *testing.T) {
			x := newRefreshing(t, nil, change)
			taken := 0
			for i, a := range contacts {
				for j, b := range contacts {
					x.hold(a, b)
					x.now = x.now.Add(time.Second)
					if x.refreshesOne(x.input([]string{"c0", "c1", "new"}[(i+j)%3], 2), a) {
						taken++
					}
				}
			}
			if taken < 100 {
				t.Errorf("Try took %d requests", taken)
			}
		})
	}
}

func TestRefresh_BesideAllocatesNothing(t *testing.T) {
	for _, contacts := range [][]string{{pushContact, deskContact, tabletContact}, {deskContact, tabletContact, bareContact}, {bareContact, deskContact}} {
		x := newRefreshing(t, nil, func(p *Policy) { p.Push.PURR = nil })
		x.hold(contacts...)
		x.w.Input, x.w.Contact = x.input("c0", 1), contacts[0]
		dst := make([]byte, 0, 2048)
		if n := testing.AllocsPerRun(100, func() {
			x.w.Input.CSeq++
			if _, touched := x.w.Try(x.store, dst[:0], nil); touched != usrloc.TouchDone {
				t.Fatal("declined")
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", contacts[0], n)
		}
	}
}
