package transport

import (
	"crypto/tls"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reveille/flow"
)

func TestNew_OptionErrors(t *testing.T) {
	udp := ListenerOptions{Name: "udp", Transport: flow.UDP, Addr: "127.0.0.1:0"}
	with := func(change func(*ListenerOptions)) []ListenerOptions {
		l := udp
		change(&l)
		return []ListenerOptions{l}
	}
	for name, tc := range map[string]struct {
		o    Options
		want string
	}{
		"no handler":     {Options{Listeners: []ListenerOptions{udp}}, "no handler"},
		"no listeners":   {Options{}, "no listeners"},
		"no name":        {Options{Listeners: with(func(l *ListenerOptions) { l.Name = "" })}, "name must have 1 to 32 bytes"},
		"long name":      {Options{Listeners: with(func(l *ListenerOptions) { l.Name = strings.Repeat("n", 33) })}, "name must have 1 to 32 bytes"},
		"name twice":     {Options{Listeners: []ListenerOptions{udp, udp}}, `listener "udp": name used twice`},
		"address twice":  {Options{Listeners: []ListenerOptions{{Name: "a", Transport: flow.UDP, Addr: "127.0.0.1:5"}, {Name: "b", Transport: flow.UDP, Addr: "127.0.0.1:05"}}}, `the address of listener "a" too`},
		"no transport":   {Options{Listeners: with(func(l *ListenerOptions) { l.Transport = 0 })}, "listeners are not supported"},
		"transport 9":    {Options{Listeners: with(func(l *ListenerOptions) { l.Transport = 9 })}, "transport(9) listeners are not supported"},
		"WS on TCP":      {Options{Listeners: with(func(l *ListenerOptions) { l.Transport, l.WS.Path = flow.TCP, "/" })}, "TCP has no WebSocket"},
		"WS path":        {Options{Listeners: with(func(l *ListenerOptions) { l.Transport, l.WS.Path = flow.WS, "sip" })}, "does not begin with a slash"},
		"WS origin":      {Options{Listeners: with(func(l *ListenerOptions) { l.Transport, l.WS.Origins = flow.WS, []string{"*"} })}, `origin "*": want scheme://host`},
		"WS ping":        {Options{Listeners: with(func(l *ListenerOptions) { l.Transport, l.WS.PingInterval = flow.WS, -1 })}, "ping interval is negative"},
		"bare WSS":       {Options{Listeners: with(func(l *ListenerOptions) { l.Transport = flow.WSS })}, "no TLS configuration"},
		"bare TLS":       {Options{Listeners: with(func(l *ListenerOptions) { l.Transport = flow.TLS })}, "no TLS configuration"},
		"TLS on TCP":     {Options{Listeners: with(func(l *ListenerOptions) { l.Transport, l.TLS = flow.TCP, new(tls.Config) })}, "TCP has no TLS"},
		"no port":        {Options{Listeners: with(func(l *ListenerOptions) { l.Addr = "127.0.0.1" })}, "want host:port"},
		"port 65536":     {Options{Listeners: with(func(l *ListenerOptions) { l.Addr = "127.0.0.1:65536" })}, "port is not a number up to 65535"},
		"host name":      {Options{Listeners: with(func(l *ListenerOptions) { l.Addr = "localhost:5060" })}, "host is not an IP address"},
		"bad advertise":  {Options{Listeners: with(func(l *ListenerOptions) { l.Advertise = "a b" })}, "host is neither a name nor an IP address"},
		"65 sockets":     {Options{Listeners: with(func(l *ListenerOptions) { l.Sockets = 65 })}, "sockets must be 1 to 64"},
		"read buffer":    {Options{Listeners: with(func(l *ListenerOptions) { l.ReadBuffer = -1 })}, "read buffer is negative"},
		"max message":    {Options{MaxMessage: 65536}, "max message 65536 is above 65535"},
		"write queue":    {Options{WriteQueue: 1000}, "write queue 1000 is below max message 65535"},
		"negative limit": {Options{MaxConns: -1}, "max conns is negative"},
		"negative time":  {Options{IdleTimeout: -time.Second}, "idle timeout is negative"},
		"rule":           {Options{Rules: []Rule{{Prefix: netip.MustParsePrefix("10.0.0.0/8"), Listener: "x"}}}, `rule for 10.0.0.0/8: no listener "x"`},
		"rule prefix":    {Options{Listeners: []ListenerOptions{udp}, Rules: []Rule{{Listener: "udp"}}}, `rule for listener "udp": no prefix`},
	} {
		t.Run(name, func(t *testing.T) {
			tr, err := New(tc.o)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("New = %v, %v, want %q", tr, err, tc.want)
			}
			// All problems are named at once.
			if !strings.Contains(err.Error(), "no handler") {
				t.Errorf("New = %v: not all of it", err)
			}
			// Check says the same, but for the handler.
			if err := Check(tc.o); tc.want != "no handler" && (err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "no handler")) {
				t.Errorf("Check = %v, want %q", err, tc.want)
			}
		})
	}
}

func TestParseAdvertise(t *testing.T) {
	for in, want := range map[string]struct {
		host string
		port uint16
		ok   bool
	}{
		"sip.example.com":      {"sip.example.com", 0, true},
		"SIP.Example.com.":     {"sip.example.com", 0, true},
		"sip.example.com:5062": {"sip.example.com", 5062, true},
		"203.0.113.5":          {"203.0.113.5", 0, true},
		"203.0.113.5:1":        {"203.0.113.5", 1, true},
		"[2001:db8::1]":        {"[2001:db8::1]", 0, true},
		"[2001:DB8:0::1]:5060": {"[2001:db8::1]", 5060, true},
		"2001:db8::1":          {"", 0, false},
		"2001:db8::1:5060":     {"", 0, false},
		"sip.example.com:":     {"", 0, false},
		"sip.example.com:0":    {"", 0, false},
		"sip.example.com:x":    {"", 0, false},
		":5060":                {"", 0, false},
		"0.0.0.0":              {"", 0, false},
		"[::]:5060":            {"", 0, false},
		"-a.example.com":       {"", 0, false},
		"a..example.com":       {"", 0, false},
		"under_score":          {"", 0, false},
		"evil>;x=\"y":          {"", 0, false},
		"crlf\r\nEvil: yes":    {"", 0, false},
		"[1.2.3.4":             {"", 0, false},
	} {
		host, port, err := parseAdvertise(in)
		if host != want.host || port != want.port || (err == nil) != want.ok {
			t.Errorf("parseAdvertise(%q) = %q, %d, %v, want %+v", in, host, port, err, want)
		}
	}
}

func TestWarnings(t *testing.T) {
	l := func(name string, tp flow.Transport, addr, advertise string) ListenerOptions {
		return ListenerOptions{Name: name, Transport: tp, Addr: addr, Advertise: advertise}
	}
	for _, tc := range []struct {
		name      string
		listeners []ListenerOptions
		want      []string // the part of each warning that tells it from others
	}{
		{
			name: "wildcard", listeners: []ListenerOptions{l("a", flow.TCP, ":5060", ""), l("b", flow.TCP, "0.0.0.0:5061", ""), l("c", flow.TCP, "[::]:5062", "")},
			want: []string{`"a" binds all addresses`, `"b" binds all addresses`, `"c" binds all addresses`},
		},
		{
			name: "private", listeners: []ListenerOptions{l("a", flow.TCP, "10.1.2.3:5060", ""), l("b", flow.TCP, "100.64.0.1:5060", ""), l("c", flow.TCP, "[fd00::1]:5060", ""), l("d", flow.TCP, "[fe80::1]:5060", "")},
			want: []string{"10.1.2.3", "100.64.0.1", "fd00::1", "fe80::1"},
		},
		{name: "advertised", listeners: []ListenerOptions{l("a", flow.TCP, ":5060", "sip.example.com"), l("b", flow.TCP, "10.1.2.3:5061", "203.0.113.1")}},
		{name: "public or loopback", listeners: []ListenerOptions{l("a", flow.TCP, "203.0.113.1:5060", ""), l("b", flow.TCP, "127.0.0.1:5060", ""), l("c", flow.TCP, "100.128.0.1:5060", "")}},
		{
			name: "UDP alone", listeners: []ListenerOptions{l("a", flow.UDP, "203.0.113.1:5060", ""), l("b", flow.TCP, "203.0.113.1:5061", "")},
			want: []string{"no listener on TCP"},
		},
		{name: "UDP with TCP", listeners: []ListenerOptions{l("a", flow.UDP, "203.0.113.1:5060", ""), l("b", flow.TCP, "203.0.113.1:5060", "")}},
		{name: "malformed", listeners: []ListenerOptions{l("a", flow.UDP, "nonsense", "")}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := Warnings(Options{Listeners: tc.listeners})
			if len(got) != len(tc.want) {
				t.Fatalf("Warnings:\n%s", cmp.Diff(tc.want, got))
			}
			for i := range got {
				if !strings.Contains(got[i], tc.want[i]) {
					t.Errorf("warning %q, want %q in it", got[i], tc.want[i])
				}
			}
		})
	}
}
