package registrar

import (
	"strings"
	"testing"

	"reveille/internal/sipmsg"
)

func TestPathReceived(t *testing.T) {
	for path, want := range map[string]string{
		"sip:edge;lr": "",
		"sip:edge;lr;received=sip:192.0.2.7:1024":                   "sip:192.0.2.7:1024",
		"sip:edge;lr;received=sip:192.0.2.7:1024%3Btransport%3Dtcp": "sip:192.0.2.7:1024;transport=tcp",
		"sip:edge;lr;received=sip:[2001:db8::1]:5060":               "sip:[2001:db8::1]:5060",
		"sip:edge;lr;received=sip:host.example.net":                 "",
		"sip:edge;lr;received=tel:+1":                               "",
		"sip:edge;lr;received":                                      "",
		"sip:edge;lr;received=nonsense":                             "",
		"sip:edge;lr;received=sip:192.0.2.7%3Fx%3Dy":                "",
		"sip:edge;lr;received=sip:192.0.2.7%0D%0AX:%20y":            "",
		"sip:edge;lr;received=sip:%22@192.0.2.7":                    "",
		"sip:edge;lr;received=sip:192.0.2.7;received=sip:192.0.2.8": "sip:192.0.2.7",
	} {
		u, err := sipmsg.ParseURI(path)
		if err != nil {
			t.Errorf("ParseURI(%q): %v", path, err)
			continue
		}
		if got := pathReceived(u); got != want {
			t.Errorf("pathReceived(%q) = %q, want %q", path, got, want)
		}
	}
}

func TestApply_PathReceived(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*Policy)
		want   string
	}{
		{"wanted", func(p *Policy) { p.PathReceived = true }, "sip:192.0.2.7"},
		{"not wanted", func(*Policy) {}, ""},
		{"Path is off", func(p *Policy) { p.PathReceived, p.Path, p.Outbound.Mode = true, PathOff, OutboundOff }, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, tt.change)
			in := w.input("one", 1, "<sip:a@h>")
			in.Path, in.PathReceived = []string{"<sip:e;lr;received=sip:192.0.2.7>"}, "sip:192.0.2.7"
			w.mustApply(in)
			if got := w.only().Received; got != tt.want {
				t.Errorf("Received = %q, want %q", got, tt.want)
			}
		})
	}
}

// The wire: what is read of Path, Supported and Via.
func TestServe_PathOfFlows_RFC5626_6(t *testing.T) {
	const contact = `Contact: <sip:a@192.0.2.1>;+sip.instance="<urn:x:1>";reg-id=1`
	const relay = "Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKphone"
	for _, tt := range []struct {
		name  string
		lines []string
		want  []string
		not   []string
	}{
		{"direct", []string{"Supported: path, Outbound"}, []string{"200", "Require: outbound"}, nil},
		{"required", []string{"Require: outbound"}, []string{"200", "Require: outbound"}, nil},
		{"relayed", []string{relay, "Supported: outbound"}, []string{"439 First Hop Lacks Outbound Support"}, nil},
		{
			"the edge promises",
			[]string{relay, "Supported: outbound, path", "Path: <sip:in;lr>, <sip:edge;lr;ob>"},
			[]string{"200", "Require: outbound", "Path: <sip:in;lr>\r\nPath: <sip:edge;lr;ob>"},
			[]string{"Flow-Timer"},
		},
		{"another one promises", []string{relay, "Supported: outbound", "Path: <sip:in;lr;ob>", "Path: <sip:edge;lr>"}, []string{"439"}, nil},
		{"strict router", []string{"Path: <sip:edge>"}, []string{"400 Path Without lr"}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t, newStore(t))
			answer := s.roundTrip(request(1, append(tt.lines, contact)...))
			for _, want := range tt.want {
				if !strings.Contains(answer, want) {
					t.Errorf("no %q in\n%s", want, answer)
				}
			}
			for _, not := range tt.not {
				if strings.Contains(answer, not) {
					t.Errorf("%q in\n%s", not, answer)
				}
			}
		})
	}
}
