package main

import (
	"net/netip"
	"strings"
	"testing"
)

func TestStrainTable(t *testing.T) {
	got := strainTable([]strainCase{{name: "twice", rounds: []strainRound{
		{capacity: 1000, offered: 2000, completed: 900, refused: 0.5, silent: 0.05, repeated: 1.25, slowest: 250_000},
		{capacity: 500, offered: 1000, completed: 400, refused: 0.6, silent: 0.03, repeated: 1, slowest: 350_000},
		{capacity: 2000, offered: 4000, completed: 2200, refused: 0.4, silent: 0.04, repeated: 2, slowest: 150_000},
	}}})
	if want := "| twice | 2,000/s | 900/s | 90 % | 50 % | 4 % | 1.25 | 250.0 ms |"; !strings.Contains(got, want) {
		t.Errorf("no %q in:\n%s", want, got)
	}
}

// TestCallers_Messages: what the phone answers is what a caller reads.
func TestCallers_Messages(t *testing.T) {
	c := &callers{target: netip.MustParseAddrPort("127.0.0.1:9"), run: "run"}
	b := answer(c.caller("INVITE", "sip:bob@example.com", 7, 'i', 1, "", "", callBody), 7, "200 OK", callBody)
	if n, ok := c.number(b); n != 7 || !ok {
		t.Errorf("number = %d, %t, want 7", n, ok)
	}
	if got := string(field(b, "To")); got != "<sip:bob@example.com>;tag=b7" {
		t.Errorf("To = %q", got)
	}
	if got := fields(b, "Via"); len(got) != 1 || !strings.HasPrefix(string(b), "SIP/2.0 200 OK\r\n") {
		t.Errorf("answer:\n%s", b)
	}
}
