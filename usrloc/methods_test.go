package usrloc

import (
	"slices"
	"strings"
	"testing"
)

func TestParseMethods_RFC3261_20_5(t *testing.T) {
	for _, tc := range []struct {
		list string
		want Methods
	}{
		{"", 0},
		{" , ,", 0},
		{"INVITE", MethodInvite},
		{"INVITE, ACK,BYE ,\tCANCEL", MethodInvite | MethodAck | MethodBye | MethodCancel},
		{"INVITE,\r\n MESSAGE", MethodInvite | MethodMessage},
		{"invite", MethodOther}, // RFC 3261 §7.1: another method
		{"KDMQ, UPDATE", MethodOther | MethodUpdate},
		{"*", MethodOther},
	} {
		if got := ParseMethods(tc.list); got != tc.want {
			t.Errorf("ParseMethods(%q) = %016b, want %016b", tc.list, got, tc.want)
		}
	}
}

func TestMethods_Allow(t *testing.T) {
	for _, tc := range []struct {
		set    Methods
		method string
		want   bool
	}{
		{0, "INVITE", true},
		{0, "KDMQ", true},
		{MethodInvite | MethodAck, "INVITE", true},
		{MethodInvite | MethodAck, "MESSAGE", false},
		{MethodInvite | MethodAck, "KDMQ", false},
		{MethodInvite | MethodOther, "KDMQ", true},
		{MethodInvite | MethodOther, "MESSAGE", false},
	} {
		if got := tc.set.Allow(tc.method); got != tc.want {
			t.Errorf("%v.Allow(%q) = %v, want %v", tc.set.Names(), tc.method, got, tc.want)
		}
	}
}

func TestMethods_Names(t *testing.T) {
	for i, name := range methodNames {
		m := Methods(1) << i
		if MethodOf(name) != m || !slices.Equal(m.Names(), []string{name}) {
			t.Errorf("bit %d: MethodOf(%q) = %016b, Names() = %q", i, name, MethodOf(name), m.Names())
		}
	}
	all := ParseMethods(strings.Join(methodNames[:], ",")) | MethodOther
	if got := MethodsNamed(all.Names()); got != all {
		t.Errorf("MethodsNamed(%q) = %016b, want %016b", all.Names(), got, all)
	}
}
