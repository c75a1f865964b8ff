package flows

import (
	"strings"
	"testing"
	"time"
)

// TestCompare shows that a message that is not as a flow says is found out, for
// the flows are worth no more than that.
func TestCompare(t *testing.T) {
	const want = "SIP/2.0 200 OK\nVia: SIP/2.0/UDP {alice};branch={branch-1}\nTo: <sip:bob@example.com>;tag={tag-1}\nContact: <sip:bob@{bob}>;expires={3590-3600}\nDate: {date}\n\nbody"
	const good = "SIP/2.0 200 OK\nVia: SIP/2.0/UDP 127.0.0.1:1;branch=z9x\nTo: <sip:bob@example.com>;tag=t1\nContact: <sip:bob@127.0.0.1:2>;expires=3599\nDate: @\n\nbody"
	now := time.Now().UTC().Format("Mon, 02 Jan 2006 15:04:05") + " GMT"
	tests := []struct {
		name, got string
		same      bool
	}{
		{"as it should be", good, true},
		{"another status", strings.Replace(good, "200 OK", "202 OK", 1), false},
		{"another phrase", strings.Replace(good, "OK", "Fine", 1), false},
		{"a header field more", strings.Replace(good, "To:", "X: y\nTo:", 1), false},
		{"a header field more at the end", strings.Replace(good, "\n\n", "\nX: y\n\n", 1), false},
		{"a header field less", strings.Replace(good, "Date: @\n", "", 1), false},
		{"another order", strings.Replace(strings.Replace(good, "Date: @\n", "", 1), "To:", "Date: @\nTo:", 1), false},
		{"a parameter more", strings.Replace(good, "tag=t1", "tag=t1;x", 1), false},
		{"another address", strings.Replace(good, "127.0.0.1:1", "127.0.0.1:9", 1), false},
		{"an empty tag", strings.Replace(good, "tag=t1", "tag=", 1), false},
		{"out of the range", strings.Replace(good, "3599", "3601", 1), false},
		{"no date", strings.Replace(good, "@", "today", 1), false},
		{"an old date", strings.Replace(good, "@", "Tue, 01 Jan 2019 00:00:00 GMT", 1), false},
		{"another body", good + "!", false},
		{"one value for two names", strings.Replace(good, "tag=t1", "tag=z9x", 1), false},
		{"a value that has another name", strings.Replace(good, "tag=t1", "tag=old", 1), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := values{"alice": "127.0.0.1:1", "bob": "127.0.0.1:2", "tag-0": "old"}
			got := strings.Split(strings.ReplaceAll(tt.got, "@\n", now+"\n"), "\n")
			diff := v.compare(strings.Split(want, "\n"), got)
			if (diff == "") != tt.same {
				t.Fatalf("the difference is %q", diff)
			}
			if _, learned := v["branch-1"]; learned != tt.same {
				t.Errorf("branch-1 is known: %t, want %t", learned, tt.same)
			}
			if tt.same {
				// What has a value keeps it.
				got[1] = strings.Replace(got[1], "z9x", "z9y", 1)
				if v.compare(strings.Split(want, "\n"), got) == "" {
					t.Error("another branch passes for {branch-1}")
				}
			}
		})
	}
}

func TestParse(t *testing.T) {
	s, err := parse("# A flow.\nserver\n  proxy: {fork: sequential}\nphone bob udp\n\nbob sends\n  A: b\n\n  body\n\nbob sleeps\n")
	if err != nil {
		t.Fatal(err)
	}
	if s.config != "proxy: {fork: sequential}" || len(s.steps) != 3 {
		t.Fatalf("parse = %+v", s)
	}
	if send := s.steps[1]; send.actor != "bob" || send.verb != "sends" || strings.Join(send.block, "|") != "A: b||body" || send.line != 6 {
		t.Errorf("the second step is %+v", send)
	}
	for _, bad := range []string{"  A: b\n", "bob\n"} {
		if _, err := parse(bad); err == nil {
			t.Errorf("parse(%q) succeeds", bad)
		}
	}
}
