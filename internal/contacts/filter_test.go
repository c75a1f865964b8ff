package contacts

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reveille/flow"
	"reveille/usrloc"
)

const alice = usrloc.AOR("sip:alice@example.com")

// known is what the names of the tests are; anything else is nowhere.
func known(host string) []netip.Addr {
	return map[string][]netip.Addr{
		"edge.example.com":  {netip.MustParseAddr("198.51.100.7")},
		"edge2.example.com": {netip.MustParseAddr("198.51.100.7"), netip.MustParseAddr("2001:db8::7")},
		"home.example.com":  {netip.MustParseAddr("192.0.2.50")},
	}[host]
}

// The bindings that the tests of filters look for, by what is special about them.
func bindings() map[string]usrloc.Binding {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	over := func(t flow.Transport, addr string) flow.Flow {
		return flow.Flow{Listener: "main", Transport: t, Remote: netip.MustParseAddrPort(addr), Conn: 17}
	}
	base := usrloc.Binding{Q: usrloc.QUnset, CSeq: 3, Created: now, Updated: now, Expires: now.Add(time.Hour), RetainUntil: now.Add(time.Hour)}
	with := func(change func(b *usrloc.Binding)) usrloc.Binding {
		b := base
		change(&b)
		return b
	}
	return map[string]usrloc.Binding{
		"nat": with(func(b *usrloc.Binding) {
			b.Contact, b.CallID, b.Flow = "sip:a@10.0.0.7:5060", "c1", over(flow.UDP, "203.0.113.5:40000")
			b.UserAgent = "Linphone/5.2 (Android)"
		}),
		"push": with(func(b *usrloc.Binding) {
			b.Contact, b.CallID = "sip:b@10.0.0.8:5061;transport=tls;pn-provider=apns;pn-param=T.app.voip;pn-prid=0123456789ABCDEF", "c2"
			b.Flow, b.Instance = over(flow.TLS, "203.0.113.5:40001"), "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6"
			b.Push = usrloc.Push{Provider: "apns", Param: "T.app.voip", PRID: "0123456789ABCDEF"}
			b.UserAgent = "OurApp/2 (iOS)"
		}),
		"edge": with(func(b *usrloc.Binding) {
			b.Contact, b.CallID, b.Flow = "sip:c@192.0.2.9;transport=tcp", "c3", over(flow.TCP, "198.51.100.7:5060")
			b.Path = []string{"<sip:edge.example.com;lr>", "<sip:inner.example.com;lr>"}
		}),
		"edge that told": with(func(b *usrloc.Binding) {
			b.Contact, b.CallID, b.Flow = "sip:c@10.0.0.9", "c4", over(flow.TCP, "198.51.100.7:5060")
			b.Path, b.Received = []string{`<sip:198.51.100.7;lr;received=sip:203.0.113.77:1234>`}, "sip:203.0.113.77:1234"
		}),
		"v6": with(func(b *usrloc.Binding) {
			b.Contact, b.CallID, b.Flow = "sip:d@[2001:db8::7]", "c5", over(flow.UDP, "[2001:db8::7]:5060")
		}),
		"static":             with(func(b *usrloc.Binding) { b.Contact = "sip:desk@192.0.2.20" }),
		"static with a name": with(func(b *usrloc.Binding) { b.Contact = "sips:desk@Home.example.com" }),
	}
}

func TestFilter_Match(t *testing.T) {
	everybody := []string{"edge", "edge that told", "nat", "push", "static", "static with a name", "v6"}
	for _, tt := range []struct {
		name string
		q    Query
		want []string
	}{
		{"nothing is asked for", Query{}, everybody},
		{"contact as registered_f2", Query{Contact: "sip:a@10.0.0.7:5060"}, []string{"nat"}},
		{"contact in angle brackets", Query{Contact: "<sip:a@10.0.0.7:5060>"}, []string{"nat"}},
		{"contact as RFC3261_19_1_4 compares", Query{Contact: "SIP:d@[2001:DB8:0::7]"}, []string{"v6"}},
		{"contact with another port", Query{Contact: "sip:a@10.0.0.7"}, nil},
		{"contact with its push parameters", Query{Contact: "sip:b@10.0.0.8:5061;transport=tls;pn-provider=apns;pn-param=T.app.voip;pn-prid=0123456789ABCDEF"}, []string{"push"}},
		{"contact as it is shown", Query{Contact: "sip:b@10.0.0.8:5061;transport=tls"}, []string{"push"}},
		{"contact with another token", Query{Contact: "sip:b@10.0.0.8:5061;transport=tls;pn-provider=apns;pn-param=T.app.voip;pn-prid=0123456789ABCDEE"}, nil},
		{"call-id_f6", Query{CallID: "c2"}, []string{"push"}},
		{"call-id in another case", Query{CallID: "C2"}, nil},
		{"instance_f2", Query{Instance: "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6"}, []string{"push"}},
		{"instance as in REGISTER", Query{Instance: `"<urn:uuid:F81D4FAE-7DEC-11D0-A765-00A0C91E6BF6>"`}, []string{"push"}},
		{"provider", Query{Provider: "APNS"}, []string{"push"}},
		{"provider of nobody", Query{Provider: "fcm"}, nil},
		{"prid", Query{PRID: "0123456789ABCDEF"}, []string{"push"}},
		{"prid in another case", Query{PRID: "0123456789abcdef"}, nil},
		{"user agent", Query{UA: `^Linphone/`}, []string{"nat"}},
		{"user agent in any case", Query{UA: `(?i)android|ios`}, []string{"nat", "push"}},
		{"ip is where it was seen_f7", Query{IP: []string{"203.0.113.5"}}, []string{"nat", "push"}},
		{"ip and port_f3", Query{IP: []string{"203.0.113.5"}, Port: []int{40001}}, []string{"push"}},
		{"several of both_f7", Query{IP: []string{"203.0.113.5", "2001:db8::7"}, Port: []int{40000, 5060}}, []string{"nat", "v6"}},
		{"each port with its address", Query{IP: []string{"203.0.113.5", "2001:db8::7"}, Port: []int{5060, 40000}}, nil},
		{"ip of a contact that was not seen_f7", Query{IP: []string{"192.0.2.20", "192.0.2.9"}}, []string{"edge", "static"}},
		{"the default port", Query{IP: []string{"192.0.2.20"}, Port: []int{5060}}, []string{"static"}},
		{"ip behind an edge that told", Query{IP: []string{"203.0.113.77"}, Port: []int{1234}}, []string{"edge that told"}},
		{"ip of an edge is no phone's", Query{IP: []string{"198.51.100.7"}}, nil},
		{"ip of a NATed contact is not its", Query{IP: []string{"10.0.0.7"}}, nil},
		{"mapped address", Query{IP: []string{"::ffff:203.0.113.5"}}, []string{"nat", "push"}},
		{"next hop is the Path's_f2", Query{NextHop: "198.51.100.7"}, []string{"edge", "edge that told"}},
		{"next hop by name", Query{NextHop: "edge2.example.com"}, []string{"edge", "edge that told", "v6"}},
		{"next hop by its own name", Query{NextHop: "EDGE.example.com."}, []string{"edge", "edge that told"}},
		{"next hop without Path", Query{NextHop: "203.0.113.5"}, []string{"nat", "push"}},
		{"next hop of what was not seen", Query{NextHop: "192.0.2.50"}, []string{"static with a name"}},
		{"next hop behind the first", Query{NextHop: "inner.example.com"}, nil},
		{"next hop is v6", Query{NextHop: "2001:db8::7"}, []string{"v6"}},
		{"all must be true", Query{IP: []string{"203.0.113.5"}, UA: "Linphone", CallID: "c1"}, []string{"nat"}},
		{"one is not", Query{IP: []string{"203.0.113.5"}, UA: "Linphone", CallID: "c2"}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, err := ParseFilter(tt.q)
			if err != nil {
				t.Fatal(err)
			}
			if f.IsZero() != (len(tt.want) == len(everybody)) {
				t.Errorf("IsZero = %v", f.IsZero())
			}
			var got []string
			for name, b := range bindings() {
				if f.Match(&b, known) {
					got = append(got, name)
				}
			}
			slices.Sort(got)
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("Match (-want +got):\n%s", d)
			}
		})
	}
}

func TestParseFilter_Mistakes(t *testing.T) {
	for _, tt := range []struct {
		name  string
		q     Query
		field string
	}{
		{"no URI", Query{Contact: "alice at home"}, "contact"},
		{"no instance", Query{Instance: `"<>"`}, "instance"},
		{"no address", Query{IP: []string{"192.0.2.1", "phone.example.com"}}, "ip"},
		{"a network", Query{IP: []string{"192.0.2.0/24"}}, "ip"},
		{"a port without address", Query{Port: []int{5060}}, "port"},
		{"fewer ports than addresses", Query{IP: []string{"192.0.2.1", "192.0.2.2"}, Port: []int{5060}}, "port"},
		{"port 0", Query{IP: []string{"192.0.2.1"}, Port: []int{0}}, "port"},
		{"port 65536", Query{IP: []string{"192.0.2.1"}, Port: []int{65536}}, "port"},
		{"too many addresses", Query{IP: slices.Repeat([]string{"192.0.2.1"}, 65)}, "ip"},
		{"a next hop with a port", Query{NextHop: "edge.example.com:5060"}, "next_hop"},
		{"a next hop with a user", Query{NextHop: "a@edge.example.com"}, "next_hop"},
		{"a next hop with a blank", Query{NextHop: "edge .example.com"}, "next_hop"},
		{"no regular expression", Query{UA: "("}, "ua"},
		{"too long", Query{CallID: strings.Repeat("x", 5000)}, "call_id"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ParseFilter(tt.q)
			var input *InputError
			if !errors.As(err, &input) || input.Field != tt.field {
				t.Errorf("ParseFilter = %v, want an error in %s", err, tt.field)
			}
		})
	}
}

func TestQuery_DescribeHoldsNoToken(t *testing.T) {
	q := Query{
		AOR: "alice", Contact: "sip:b@10.0.0.8;pn-provider=apns;pn-prid=SECRETSECRET;x-token=SECRETSECRET", CallID: "c", IP: []string{"192.0.2.1"}, Port: []int{5060},
		NextHop: "edge", Instance: "urn:x", Provider: "apns", PRID: "SECRETSECRET", UA: "x",
	}
	got := q.Describe()
	if strings.Contains(got, "SECRET") {
		t.Errorf("Describe = %q, it holds the token", got)
	}
	for _, part := range []string{"aor=alice", "contact=sip:b@10.0.0.8 ", "call_id=c", "ip=192.0.2.1", "port=[5060]", "next_hop=edge", "instance=urn:x", "provider=apns", "prid=<redacted 12 bytes", "ua=x"} {
		if !strings.Contains(got+" ", part) {
			t.Errorf("Describe = %q, it lacks %q", got, part)
		}
	}
	if a := (Addition{Contact: "sip:b@10.0.0.8;pn-prid=SECRETSECRET"}).Describe(); a != "sip:b@10.0.0.8" {
		t.Errorf("Describe of an addition = %q", a)
	}
}

// FuzzFilter: what is read matches what all of its parts match, alone, and a binding
// is found by everything that is shown of it.
func FuzzFilter(f *testing.F) {
	for _, b := range bindings() {
		at, _ := address(&b)
		f.Add(b.Contact, b.CallID, b.Instance, b.Push.Provider, b.Push.PRID, b.UserAgent, at.Addr().String(), int(at.Port()), nextHop(&b), b.Received, strings.Join(b.Path, " "))
	}
	f.Add("<sip:%00@[::1%25x]>", "", `"<`, "", "", "(?P<x>", "::ffff:1.2.3.4", -1, "[::1]", "sip:@", "<sip:;lr>")
	f.Fuzz(func(t *testing.T, contact, callID, instance, provider, prid, ua, ip string, port int, hop, received, path string) {
		parts := []Query{{Contact: contact}, {CallID: callID}, {Instance: instance}, {Provider: provider}, {PRID: prid}, {UA: ua}, {NextHop: hop}}
		all := Query{Contact: contact, CallID: callID, Instance: instance, Provider: provider, PRID: prid, UA: ua, NextHop: hop}
		if ip != "" {
			all.IP, all.Port = []string{ip}, []int{port}
			parts = append(parts, Query{IP: all.IP, Port: all.Port})
		}
		odd := usrloc.Binding{
			Contact: contact, CallID: callID, Instance: instance, Push: usrloc.Push{Provider: provider, PRID: prid}, UserAgent: ua, Received: received,
		}
		if path != "" {
			odd.Path = strings.Split(path, " ")
		}
		list := append(slices.Collect(mapValues(bindings())), odd)
		whole, err := ParseFilter(all)
		var wrong bool
		filters := make([]Filter, len(parts))
		for i := range parts {
			var cause error
			if filters[i], cause = ParseFilter(parts[i]); cause != nil {
				wrong = true
				if _, ok := errors.AsType[*InputError](cause); !ok {
					t.Errorf("ParseFilter(%+v): %v is no InputError", parts[i], cause)
				}
			}
		}
		if wrong != (err != nil) {
			t.Fatalf("ParseFilter(%+v) = %v, of the parts alone %v", all, err, wrong)
		}
		if err != nil {
			return
		}
		for i := range list {
			want := true
			for j := range filters {
				want = want && filters[j].Match(&list[i], known)
			}
			if got := whole.Match(&list[i], known); got != want {
				t.Errorf("%+v matches %+v: %v, its parts: %v", all, list[i], got, want)
			}
			byItself(t, &list[i])
		}
	})
}

// byItself looks for a binding by what is shown of it.
func byItself(t *testing.T, b *usrloc.Binding) {
	t.Helper()
	c := plainView().contact(alice, b)
	q := Query{Contact: c.Contact, CallID: c.CallID, Instance: c.Instance, Provider: c.Provider}
	if at, ok := address(b); ok && at.Addr().IsValid() && at.Port() != 0 {
		q.IP, q.Port = []string{at.Addr().String()}, []int{int(at.Port())}
	}
	f, err := ParseFilter(q)
	if err == nil && !f.Match(b, known) {
		t.Errorf("%+v, as it is shown (%+v), is not found by %+v", b, c, q)
	}
	if prid := b.Push.PRID; len(prid) >= 8 && strings.Contains(fmt.Sprintf("%+v", c.Contact), prid) {
		t.Errorf("%q is shown with the token %q", c.Contact, prid)
	}
}
