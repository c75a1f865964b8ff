package sipmsg

import (
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the outputs in testdata/*.sip")

// goldenEdits are the edits applied to the message in testdata/<name>.sip. Each
// file holds the received message, a line "----" of its own and what is sent; line ends are
// LF in the file and CRLF on the wire.
var goldenEdits = map[string]func(e *Edit){
	// What a home proxy does to a request (RFC 3261 §16.6).
	"forward_request": func(e *Edit) {
		e.SetRequestURI("sip:otto@198.51.100.7:5062;transport=tcp")
		e.StampVia()
		e.PushVia("SIP/2.0/TCP 203.0.113.1;branch=z9hG4bKproxy")
		e.PushRecordRoute("<sip:203.0.113.1;lr;in>")
		e.PushRecordRoute("<sip:203.0.113.1;transport=tcp;lr;out>")
		e.SetMaxForwards(41)
		e.PopRoutes(1)
	},
	// Of a list in one line, the first value goes (§16.7 step 3).
	"forward_response": func(e *Edit) { e.PopVia() },
	"pop_via_line":     func(e *Edit) { e.PopVia() },
	// A message with next to nothing gets everything.
	"bare_request": func(e *Edit) {
		e.PushVia("SIP/2.0/UDP 203.0.113.1;branch=z9hG4bKproxy")
		e.SetMaxForwards(70)
		e.PushRoute("<sip:b.test;lr>")
		e.PushRoute("<sip:a.test;lr>")
		e.PushRecordRoute("<sip:203.0.113.1;lr>")
		e.Add("X-Last", "1")
		e.EnsureContentLength()
	},
	// §16.4: a strict router before us.
	"strict_route": func(e *Edit) {
		e.RemoveLastRoute()
		e.SetRequestURI("sip:otto@198.51.100.7")
	},
	"route_middle":   func(e *Edit) { e.PopRoutes(2); e.RemoveLastRoute() },
	"route_all":      func(e *Edit) { e.PopRoutes(9); e.PushRoute("<sip:new.test;lr>"); e.AppendRoute("<sip:last.test;lr>") },
	"remove_headers": removeHeaders,
}

func removeHeaders(e *Edit) {
	e.Remove(HdrSupported)
	e.RemoveNamed("x-private")
	e.RemoveNamed("FROM-OTHER")
	e.RemoveNamed("Subject")
	e.Remove(HdrOther)
	e.RemoveIf(func(h Header) bool { return h.ID == HdrReason && strings.HasPrefix(h.Value, "Q.850") })
	e.Push("Feature-Caps", "*;+sip.pns=\"fcm\"")
	e.Push("X-Unknown", "first")
}

func TestEdit_Golden(t *testing.T) {
	for name, edit := range goldenEdits {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join("testdata", name+".sip")
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			in, want, _ := strings.Cut(string(data), "\n----\n")
			m := mustParse(t, strings.ReplaceAll(in, "\n", "\r\n"))
			before := m.Raw()
			e := m.Edit()
			edit(e)
			got := string(e.Bytes())
			if again := string(e.Bytes()); again != got {
				t.Errorf("second Bytes() = %q, want %q", again, got)
			}
			if m.Raw() != before || string(m.Edit().Bytes()) != before {
				t.Error("the message changed")
			}
			if _, err := Parse([]byte(got), testSource); err != nil {
				t.Errorf("result does not parse: %v\n%s", err, got)
			}
			if strings.Count(got, "\n") != strings.Count(got, "\r\n") {
				t.Errorf("result has LF alone: %q", got)
			}
			got = strings.ReplaceAll(got, "\r\n", "\n")
			if *update {
				if err := os.WriteFile(file, []byte(in+"\n----\n"+got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", file, diff)
			}
		})
	}
}

func TestEdit_StampVia_RFC3581_4(t *testing.T) {
	v6 := netip.MustParseAddrPort("[2001:db8::7]:40000")
	mapped := netip.MustParseAddrPort("[::ffff:192.0.2.77]:40123")
	tests := []struct {
		name, via string
		src       netip.AddrPort
		want      string
	}{
		{"address equal, no rport", "SIP/2.0/UDP 192.0.2.77:5060;branch=b", testSource, ""},
		{
			"address equal, rport", "SIP/2.0/UDP 192.0.2.77;rport;branch=b", testSource,
			"SIP/2.0/UDP 192.0.2.77;rport=40123;branch=b;received=192.0.2.77",
		},
		{"other address", "SIP/2.0/UDP 10.0.0.1:5060;branch=b", testSource, "SIP/2.0/UDP 10.0.0.1:5060;branch=b;received=192.0.2.77"},
		{"name", "SIP/2.0/UDP pc7.test;branch=b", testSource, "SIP/2.0/UDP pc7.test;branch=b;received=192.0.2.77"},
		{"no parameters", "SIP/2.0/UDP pc7.test", testSource, "SIP/2.0/UDP pc7.test;received=192.0.2.77"},
		{
			"forged received and rport", "SIP/2.0/UDP pc7.test;received=203.0.113.66;rport=1;branch=b", testSource,
			"SIP/2.0/UDP pc7.test;rport=40123;branch=b;received=192.0.2.77",
		},
		{
			"forged received alone", "SIP/2.0/UDP 192.0.2.77;branch=b;Received=203.0.113.66", testSource,
			"SIP/2.0/UDP 192.0.2.77;branch=b;received=192.0.2.77",
		},
		{"IPv6", "SIP/2.0/UDP [2001:db8::8];rport;branch=b", v6, "SIP/2.0/UDP [2001:db8::8];rport=40000;branch=b;received=2001:db8::7"},
		{"IPv6 equal, written otherwise", "SIP/2.0/UDP [2001:DB8:0:0::7];branch=b", v6, ""},
		{"IPv4 seen by an IPv6 socket", "SIP/2.0/UDP 192.0.2.77;branch=b", mapped, ""},
		{"IPv4 seen by an IPv6 socket, other", "SIP/2.0/UDP h;branch=b", mapped, "SIP/2.0/UDP h;branch=b;received=192.0.2.77"},
		{"IPv4 mapped in sent-by", "SIP/2.0/UDP [::ffff:192.0.2.77];branch=b", testSource, ""},
		{"unknown source", "SIP/2.0/UDP pc7.test;rport;branch=b", netip.AddrPort{}, ""},
		{
			"list: the second value is not ours", "SIP/2.0/UDP h;rport ;branch=b , SIP/2.0/UDP i;rport", testSource,
			"SIP/2.0/UDP h;rport=40123;branch=b ;received=192.0.2.77, SIP/2.0/UDP i;rport",
		},
		{
			"folded", "SIP/2.0/UDP h\r\n ; branch = b\r\n ;rport\r\n ;x=\"a,b\"", testSource,
			"SIP/2.0/UDP h\r\n ; branch = b\r\n ;rport=40123;x=\"a,b\";received=192.0.2.77",
		},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			want := tc.want
			if want == "" {
				want = tc.via
			}
			raw := plain("OPTIONS", "sip:otto@lab.test", "Via: "+tc.via)
			m, err := Parse([]byte(raw), tc.src)
			if err != nil {
				t.Fatal(err)
			}
			e := m.Edit()
			e.StampVia()
			if got := string(e.Bytes()); got != strings.Replace(raw, tc.via, want, 1) {
				t.Errorf("stamped message:\n%s\nwant Via: %s", got, want)
			}
			if got := string(m.AppendReply(nil, Reply{Code: 200})); !strings.Contains(got, "\r\nVia: "+want+"\r\n") {
				t.Errorf("answer:\n%s\nwant Via: %s", got, want)
			}
		})
	}
}

// TestEdit_Injection hands over what a hostile peer could have put into values
// that end up as arguments.
func TestEdit_Injection(t *testing.T) {
	m := mustParse(t, plain("INVITE", "sip:otto@lab.test", "Contact: <sip:nina@h>"))
	const evil = "x\r\nEvil: 1\r\n\r\nINVITE sip:v SIP/2.0\r\nEvil: 2\n\rEvil:\x003"
	e := m.Edit()
	e.SetRequestURI("sip:" + evil)
	e.PushVia("SIP/2.0/UDP h;branch=" + evil)
	e.PushRoute("<sip:" + evil + ">")
	e.AppendRoute("<sip:" + evil + ">")
	e.PushRecordRoute("<sip:" + evil + ">")
	e.Add(evil, evil)
	e.Add("\r\n", "nothing")
	e.Push("X-"+evil, evil)
	e.Push(": ", "nothing")
	checkNothingInjected(t, e.Bytes(), 6)

	headers := []HeaderField{{Name: evil, Value: evil}, {Name: "\r\n", Value: evil}, {Name: "Reason", Value: evil}}
	reply := m.AppendReply(nil, Reply{Code: 200, Reason: evil, ToTag: evil, Headers: headers, ContentType: evil, Body: "b"})
	checkNothingInjected(t, reply, 4)
	checkNothingInjected(t, m.AppendCancel(nil, headers...), 2)
}

func checkNothingInjected(t *testing.T, wire []byte, added int) {
	t.Helper()
	var s Scan
	if err := s.Parse(string(wire)); err != nil {
		t.Fatalf("Scan: %v\n%q", err, wire)
	}
	for i := range s.Len() {
		if equalFold(s.Header(i).Name, "Evil") {
			t.Errorf("injected header field in\n%s", wire)
		}
	}
	if strings.Contains(string(wire[:s.body-4]), "\r\n\r\n") {
		t.Errorf("injected end of header section in\n%s", wire)
	}
	if s.Len() > 7+added+2 {
		t.Errorf("%d header fields, want at most %d:\n%s", s.Len(), 7+added+2, wire)
	}
}

func TestEdit_Bounds(t *testing.T) {
	m := mustParse(t, plain("INVITE", "sip:otto@lab.test"))
	e := m.Edit()
	e.SetMaxForwards(-5)
	e.PopRoutes(-1)
	e.RemoveLastRoute()
	e.SetRequestURI("\r\n <>")
	got := string(e.Bytes())
	want := strings.Replace(m.Raw(), "Max-Forwards: 68", "Max-Forwards: 0", 1)
	if got != want {
		t.Errorf("Bytes() = %q, want %q", got, want)
	}
	e.SetMaxForwards(1000)
	if got := string(e.Bytes()); !strings.Contains(got, "Max-Forwards: 255\r\n") {
		t.Errorf("Max-Forwards above 255:\n%s", got)
	}
	// A response has no Request-URI to replace.
	resp := mustParse(t, withBody("", append([]string{"SIP/2.0 180 Ringing"}, basics("INVITE")...)...))
	e = resp.Edit()
	e.SetRequestURI("sip:x@y")
	if got := string(e.Bytes()); got != resp.Raw() {
		t.Errorf("Bytes() = %q, want %q", got, resp.Raw())
	}
}
