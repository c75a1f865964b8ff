package resolve

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"reveille/flow"
	"reveille/internal/sipmsg"
)

func target(t testing.TB, uri string) Target {
	t.Helper()
	u, err := sipmsg.ParseURI(uri)
	if err != nil {
		t.Fatal(err)
	}
	to, err := TargetOf(u)
	if err != nil {
		t.Fatal(err)
	}
	return to
}

func TestTargetOf_RFC3263_4(t *testing.T) {
	tests := []struct {
		name, uri string
		want      Target
		refused   bool
	}{
		{"a name", "sip:Example.COM.", Target{Host: "example.com"}, false},
		{"all of it", "sip:+49@gw.example.com:5070;transport=TCP", Target{Host: "gw.example.com", Port: 5070, Transport: flow.TCP}, false},
		{"an address", "sip:192.0.2.1", Target{Host: "192.0.2.1"}, false},
		{"an IPv6 address", "sip:[2001:DB8::1]:5080", Target{Host: "2001:db8::1", Port: 5080}, false},
		{"sips", "sips:example.com", Target{Host: "example.com", Secure: true}, false},
		{"sips over TCP is TLS", "sips:example.com;transport=tcp", Target{Host: "example.com", Transport: flow.TLS, Secure: true}, false},
		{"sips over UDP", "sips:example.com;transport=udp", Target{}, true},
		{"a browser", "sip:a@b.invalid;transport=ws", Target{}, true},
		{"an unknown transport", "sip:example.com;transport=sctp", Target{}, true},
		{"a phone number", "tel:+4912", Target{}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			u, err := sipmsg.ParseURI(tt.uri)
			if err != nil {
				t.Fatal(err)
			}
			got, err := TargetOf(u)
			if got != tt.want || errors.Is(err, ErrUnreachable) != tt.refused {
				t.Errorf("TargetOf(%s) = %+v, %v, want %+v", tt.uri, got, err, tt.want)
			}
		})
	}
}

// rfc is the zone of the example in RFC 3263 §4.1, with addresses.
const rfc = `
example.com. 300 IN NAPTR 50 50 "s" "SIPS+D2T" "" _sips._tcp.example.com.
example.com. 300 IN NAPTR 90 50 "s" "SIP+D2T" "" _sip._tcp.example.com.
example.com. 300 IN NAPTR 100 50 "s" "SIP+D2U" "" _sip._udp.example.com.
_sips._tcp.example.com. 300 IN SRV 0 1 5061 server1.example.com.
_sip._tcp.example.com. 300 IN SRV 0 1 5060 server1.example.com.
_sip._tcp.example.com. 300 IN SRV 0 2 5070 server2.example.com.
_sip._udp.example.com. 300 IN SRV 1 0 5060 server2.example.com.
_sip._udp.example.com. 300 IN SRV 0 0 5060 server1.example.com.
server1.example.com. 300 IN A 192.0.2.1
server2.example.com. 300 IN A 192.0.2.2
`

func TestLocate_RFC3263(t *testing.T) {
	tests := []struct {
		name, zone, uri string
		without         []flow.Transport // what we do not speak
		want            string
		asked           []string // nil: of no interest
		err             error
	}{
		{name: "an IP address is not asked about (4.2)", uri: "sip:192.0.2.7", want: "udp 192.0.2.7:5060", asked: []string{}},
		{name: "an IP address, sips", uri: "sips:192.0.2.7", want: "tls 192.0.2.7:5061", asked: []string{}},
		{name: "an IP address with port and transport", uri: "sip:[2001:db8::7]:5070;transport=tcp", want: "tcp [2001:db8::7]:5070", asked: []string{}},
		{
			name: "NAPTR: the preferred transport alone (4.1)", zone: rfc, uri: "sip:example.com", want: "tls 192.0.2.1:5061",
			asked: []string{"NAPTR example.com", "SRV _sips._tcp.example.com", "AAAA server1.example.com", "A server1.example.com"},
		},
		{name: "NAPTR: that we speak (4.1)", zone: rfc, uri: "sip:example.com", without: []flow.Transport{flow.TLS}, want: "tcp 192.0.2.1:5060, tcp 192.0.2.2:5070"},
		{name: "NAPTR: by order, then SRV by priority", zone: rfc, uri: "sip:example.com", without: []flow.Transport{flow.TLS, flow.TCP}, want: "udp 192.0.2.1:5060, udp 192.0.2.2:5060"},
		{name: "NAPTR: sips is TLS alone (4.1)", zone: rfc, uri: "sips:example.com", want: "tls 192.0.2.1:5061"},
		{
			name: "a transport asks for its SRV (4.2)", zone: rfc, uri: "sip:example.com;transport=udp", want: "udp 192.0.2.1:5060, udp 192.0.2.2:5060",
			asked: []string{"SRV _sip._udp.example.com", "AAAA server1.example.com", "A server1.example.com", "AAAA server2.example.com", "A server2.example.com"},
		},
		{name: "sips with transport=tcp", zone: rfc, uri: "sips:example.com;transport=tcp", want: "tls 192.0.2.1:5061"},
		{
			name: "a port asks for addresses (4.2)", zone: rfc, uri: "sip:server1.example.com:5090", want: "udp 192.0.2.1:5090",
			asked: []string{"AAAA server1.example.com", "A server1.example.com"},
		},
		{name: "a port, sips", zone: rfc, uri: "sips:server1.example.com:5090", want: "tls 192.0.2.1:5090"},
		{name: "a port and a transport", zone: rfc, uri: "sip:server1.example.com:5090;transport=tcp", want: "tcp 192.0.2.1:5090"},
		{name: "equal orders, by preference", uri: "sip:b.example", zone: `
b.example. 300 IN NAPTR 10 20 "S" "sip+d2u" "" _sip._udp.b.example.
b.example. 300 IN NAPTR 10 10 "s" "SIP+D2T" "" _sip._tcp.b.example.
_sip._udp.b.example. 300 IN SRV 0 1 5060 h.b.example.
_sip._tcp.b.example. 300 IN SRV 0 1 5062 h.b.example.
h.b.example. 300 IN A 192.0.2.3`, want: "tcp 192.0.2.3:5062, udp 192.0.2.3:5060"},
		{name: "NAPTR that are not for us", uri: "sip:c.example", zone: `
c.example. 300 IN NAPTR 1 1 "u" "E2U+sip" "!^.*$!sip:x@evil.example!" .
c.example. 300 IN NAPTR 2 1 "s" "SIP+D2W" "" _sip._ws.c.example.
c.example. 300 IN NAPTR 3 1 "a" "SIP+D2U" "" h.c.example.
c.example. 300 IN NAPTR 4 1 "s" "SIP+D2U" "" _sip._udp.c.example.
_sip._udp.c.example. 300 IN SRV 0 1 5060 h.c.example.
h.c.example. 300 IN A 192.0.2.4`, want: "udp 192.0.2.4:5060"},
		{name: "no NAPTR: SRV of each transport (4.1)", uri: "sip:d.example", zone: `
_sip._tcp.d.example. 300 IN SRV 0 1 5060 h.d.example.
_sips._tcp.d.example. 300 IN SRV 0 1 5061 h.d.example.
h.d.example. 300 IN A 192.0.2.5`, want: "tcp 192.0.2.5:5060, tls 192.0.2.5:5061"},
		{name: "no NAPTR, sips: SRV of TLS alone", uri: "sips:d.example", zone: `
_sip._tcp.d.example. 300 IN SRV 0 1 5060 h.d.example.
_sips._tcp.d.example. 300 IN SRV 0 1 5061 h.d.example.
h.d.example. 300 IN A 192.0.2.5`, want: "tls 192.0.2.5:5061"},
		{
			name: "no SRV: a host (4.2)", uri: "sip:e.example", zone: "e.example. 300 IN A 192.0.2.6\ne.example. 300 IN AAAA 2001:db8::6",
			want: "udp [2001:db8::6]:5060, udp 192.0.2.6:5060",
		},
		{name: "no SRV, sips", uri: "sips:e.example", zone: "e.example. 300 IN A 192.0.2.6", want: "tls 192.0.2.6:5061"},
		{name: "no SRV, with a transport", uri: "sip:e.example;transport=tls", zone: "e.example. 300 IN A 192.0.2.6", want: "tls 192.0.2.6:5061"},
		{name: "an alias", uri: "sip:f.example:5060", zone: "f.example. 300 IN CNAME g.example.\ng.example. 300 IN A 192.0.2.8", want: "udp 192.0.2.8:5060"},
		{name: "no service here (RFC 2782)", uri: "sip:h.example;transport=udp", zone: "_sip._udp.h.example. 300 IN SRV 0 0 0 .\nh.example. 300 IN A 192.0.2.9", err: ErrNotFound},
		{name: "nothing", uri: "sip:nowhere.example", err: ErrNotFound},
		{name: "no host's address", uri: "sip:i.example:5060", zone: "i.example. 300 IN A 0.0.0.0\ni.example. 300 IN A 224.0.0.1", err: ErrNotFound},
		{name: "a silent server is no proof", uri: "sip:j.example", zone: "fails NAPTR j.example\nj.example. 300 IN A 192.0.2.9", err: errAny},
		{name: "one silent server of two", uri: "sip:k.example;transport=udp", zone: `
_sip._udp.k.example. 300 IN SRV 0 1 5060 one.k.example.
_sip._udp.k.example. 300 IN SRV 1 1 5060 two.k.example.
fails AAAA one.k.example
fails A one.k.example
two.k.example. 300 IN A 192.0.2.10`, want: "udp 192.0.2.10:5060"},
		{name: "this machine (RFC 6761 6.3)", uri: "sip:localhost:5070", want: "udp [::1]:5070, udp 127.0.0.1:5070", asked: []string{}},
		{name: "a browser's invention (RFC 7118 5)", uri: "sip:q9x.invalid", asked: []string{}, err: ErrUnreachable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			z := newZone(t, tt.zone)
			r := newResolver(t, Options{Exchanger: z, Supports: func(tp flow.Transport) bool { return !slices.Contains(tt.without, tp) }})
			got, err := resolve(t, r, target(t, tt.uri))
			if list(got) != tt.want {
				t.Errorf("%s leads to %q, want %q", tt.uri, list(got), tt.want)
			}
			switch {
			case tt.err == nil && err != nil, tt.err != nil && err == nil, tt.err != nil && tt.err != errAny && !errors.Is(err, tt.err):
				t.Errorf("%s: error %v, want %v", tt.uri, err, tt.err)
			case errors.Is(tt.err, errAny) && (errors.Is(err, ErrNotFound) || errors.Is(err, ErrUnreachable)):
				t.Errorf("%s: error %v says too much", tt.uri, err)
			}
			for _, h := range got {
				if want := z.records["A "+target(t, tt.uri).Host]; h.Name != target(t, tt.uri).Host && len(want) > 0 {
					t.Errorf("the certificate of %v is to be for %q", h.Addr, h.Name)
				}
			}
			if tt.asked != nil {
				if diff := cmp.Diff(tt.asked, append([]string{}, z.questions()...)); diff != "" {
					t.Errorf("questions (-want +got):\n%s", diff)
				}
			}
		})
	}
}

// errAny stands for an error that is none of the exported ones.
var errAny = errors.New("any")

// TestLocate_Name_RFC5922_7_3: the certificate is for the domain that was asked for,
// whatever the DNS made of it.
func TestLocate_Name_RFC5922_7_3(t *testing.T) {
	r := newResolver(t, Options{Exchanger: newZone(t, rfc)})
	hops, err := resolve(t, r, target(t, "sip:Example.com"))
	if err != nil || len(hops) != 1 || hops[0].Name != "example.com" {
		t.Errorf("hops %+v, %v, want one for example.com", hops, err)
	}
	if hops, _ := resolve(t, r, target(t, "sips:192.0.2.1")); len(hops) != 1 || hops[0].Name != "" {
		t.Errorf("hops of an address %+v, want no name", hops)
	}
}

func TestShuffle_RFC2782(t *testing.T) {
	type entry struct {
		name             string
		priority, weight uint16
	}
	tests := []struct {
		name  string
		list  []entry
		draws []int
		want  string
	}{
		{"by priority", []entry{{"b", 2, 1}, {"a", 1, 1}, {"c", 3, 1}}, nil, "abc"},
		{"the lowest draw has the weightless first", []entry{{"a", 0, 5}, {"b", 0, 0}}, []int{0}, "ba"},
		{"any other draw the weighty", []entry{{"a", 0, 5}, {"b", 0, 0}}, []int{1}, "ab"},
		{"in proportion", []entry{{"a", 0, 10}, {"b", 0, 20}, {"c", 0, 30}}, []int{31, 10}, "cab"},
		{"the bounds", []entry{{"a", 0, 10}, {"b", 0, 20}, {"c", 0, 30}}, []int{30, 11}, "bca"},
		{"only among equals", []entry{{"a", 1, 65535}, {"b", 0, 1}}, []int{1}, "ba"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			draws := tt.draws
			Shuffle(tt.list, func(e entry) (uint16, uint16) { return e.priority, e.weight }, func(n int) int {
				if len(draws) == 0 {
					return 0
				}
				d := draws[0]
				draws = draws[1:]
				if d >= n {
					t.Errorf("drew %d of %d", d, n)
				}
				return d
			})
			got := ""
			for _, e := range tt.list {
				got += e.name
			}
			if got != tt.want {
				t.Errorf("order %s, want %s", got, tt.want)
			}
		})
	}
}
