package registrar

import (
	"strings"
	"testing"

	"reveille/usrloc"
)

func newStore(t *testing.T) *usrloc.Memory {
	t.Helper()
	store := usrloc.NewMemory(usrloc.MemoryOptions{})
	t.Cleanup(func() { store.Close() })
	return store
}

func TestParseExtensions(t *testing.T) {
	for list, want := range map[string]Extensions{
		"":                         0,
		"path":                     ExtPath,
		" Path ,GRUU,\toutbound ":  ExtPath | ExtGRUU | ExtOutbound,
		"100rel, path2, xgruu":     0,
		"replaces,\r\n outbound,,": ExtOutbound,
	} {
		if got := ParseExtensions(list); got != want {
			t.Errorf("ParseExtensions(%q) = %b, want %b", list, got, want)
		}
	}
}

func TestServe_Require_RFC3261_8_2_2_3(t *testing.T) {
	const contact = "Contact: <sip:a@192.0.2.1>"
	off := func(p *Policy) { p.Path, p.Outbound.Mode = PathOff, OutboundOff }
	for _, tt := range []struct {
		name    string
		change  func(*Policy)
		require string
		want    string
	}{
		{"all known", withGRUU, "path, gruu, outbound", "SIP/2.0 200 "},
		{"gruu is off", func(*Policy) {}, "gruu", "Unsupported: gruu\r\n"},
		{"all off", off, "path, outbound, gruu", "Unsupported: path, outbound, gruu\r\n"},
		{"unknown", withGRUU, "gruu, 100rel", "Unsupported: 100rel\r\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t, newStore(t))
			p := *s.Policy()
			tt.change(&p)
			if err := s.SetPolicy(p); err != nil {
				t.Fatal(err)
			}
			answer := s.roundTrip(request(1, contact, "Require: "+tt.require))
			if !strings.Contains(answer, tt.want) || strings.Contains(tt.want, "Unsupported") != strings.HasPrefix(answer, "SIP/2.0 420 Bad Extension\r\n") {
				t.Errorf("no %q in\n%s", tt.want, answer)
			}
		})
	}
}

func TestServe_ExtensionRequired_RFC3261_21_4_16(t *testing.T) {
	s := newServer(t, newStore(t))
	p := *s.Policy()
	p.Outbound.Mode = OutboundRequired
	if err := s.SetPolicy(p); err != nil {
		t.Fatal(err)
	}
	answer := s.roundTrip(request(1, "Contact: <sip:a@192.0.2.1>"))
	if !strings.HasPrefix(answer, "SIP/2.0 421 Extension Required\r\n") || !strings.Contains(answer, "\r\nRequire: outbound\r\n") {
		t.Errorf("answer\n%s", answer)
	}
}

// RFC 5627 §5.2: gruu stands in no answer, as an extension.
func TestServe_NoGRUUTagInTheAnswer_RFC5627_5_2(t *testing.T) {
	s := newServer(t, newStore(t))
	p := *s.Policy()
	withGRUU(&p)
	if err := s.SetPolicy(p); err != nil {
		t.Fatal(err)
	}
	answer := s.roundTrip(request(1, gruuContactLine, "Supported: gruu, path", "Path: <sip:e;lr>"))
	for line := range strings.Lines(answer) {
		if (strings.HasPrefix(line, "Supported:") || strings.HasPrefix(line, "Require:")) && strings.Contains(line, "gruu") {
			t.Errorf("answer has %s", line)
		}
	}
	if !strings.Contains(answer, ";pub-gruu=") {
		t.Errorf("no GRUU in\n%s", answer)
	}
}

const gruuContactLine = "Contact: " + gruuContact

// RFC 3261 §10.3: Record-Route means nothing in a REGISTER, and is never sent
// back.
func TestServe_RecordRouteIsIgnored_RFC3261_10_3(t *testing.T) {
	s := newServer(t, newStore(t))
	answer := s.roundTrip(request(1, "Contact: <sip:a@192.0.2.1>", "Record-Route: <sip:rr.example.net;lr>"))
	if !strings.HasPrefix(answer, "SIP/2.0 200 ") || strings.Contains(answer, "Record-Route") {
		t.Errorf("answer\n%s", answer)
	}
}

func TestServe_AllowIsKept_RFC3261_20_5(t *testing.T) {
	store := newStore(t)
	s := newServer(t, store)
	methods := func() usrloc.Methods {
		rec, err := store.Get(t.Context(), alice)
		if err != nil || len(rec.Bindings) != 1 {
			t.Fatalf("Get = %+v, %v", rec, err)
		}
		return rec.Bindings[0].Methods
	}
	s.roundTrip(request(1, "Contact: <sip:a@192.0.2.1>"))
	if got := methods(); got != 0 {
		t.Errorf("without Allow: %v", got.Names())
	}
	s.roundTrip(request(2, "Contact: <sip:a@192.0.2.1>", "Allow: INVITE, ACK", "Allow: MESSAGE"))
	if want := usrloc.MethodInvite | usrloc.MethodAck | usrloc.MethodMessage; methods() != want {
		t.Errorf("methods %v, want %v", methods().Names(), want.Names())
	}
}

func TestServe_ServiceRoute_RFC3608_6_1(t *testing.T) {
	s := newServer(t, newStore(t))
	p := *s.Policy()
	p.ServiceRoute = []string{"sip:out1.example.com;lr", "sips:out2.example.com:5061;lr;x=y"}
	if err := s.SetPolicy(p); err != nil {
		t.Fatal(err)
	}
	const want = "\r\nService-Route: <sip:out1.example.com;lr>\r\nService-Route: <sips:out2.example.com:5061;lr;x=y>\r\n"
	for i, lines := range [][]string{{"Contact: <sip:a@192.0.2.1>"}, nil, {"Contact: *", "Expires: 0"}} {
		if answer := s.roundTrip(request(i+1, lines...)); !strings.HasPrefix(answer, "SIP/2.0 200 ") || !strings.Contains(answer, want) {
			t.Errorf("%q: answer\n%s", lines, answer)
		}
	}
	if answer := s.roundTrip(request(20, "Require: nothing")); strings.Contains(answer, "Service-Route") {
		t.Errorf("a refusal has one:\n%s", answer)
	}
}
