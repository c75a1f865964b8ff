package wake

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"reveille/push"
	"reveille/usrloc"
)

// What liblinphone writes into its Contact.
const linphone = "sip:alice@192.0.2.1;pn-prid=aa:voip&bb:remote;pn-provider=apns.dev;pn-param=T.b.voip&remote;pn-silent=1;pn-timeout=0;" +
	"pn-msg-str=IM_MSG;pn-call-str=IC%5fMSG;pn-groupchat-str=GC_MSG;pn-call-snd=notes_of_the_optimistic.caf;pn-msg-snd=msg.caf;transport=tls"

func TestData_LinphonesParameters(t *testing.T) {
	for kind, want := range map[push.Kind]map[string]string{
		push.Call:      {"pn-call-str": "IC_MSG", "pn-call-snd": "notes_of_the_optimistic.caf"},
		push.Message:   {"pn-msg-str": "IM_MSG", "pn-msg-snd": "msg.caf", "pn-groupchat-str": "GC_MSG"},
		push.MidDialog: nil, push.Refresh: nil, push.Cancel: nil,
	} {
		if d := cmp.Diff(want, data(Cause{Kind: kind}, &usrloc.Binding{Contact: linphone})); d != "" {
			t.Errorf("%s (-want +got):\n%s", kind, d)
		}
	}
	for _, contact := range []string{"sip:alice@192.0.2.1", "tel:+1", "", "sip:a@h;pn-call-str;pn-call-snd="} {
		if d := data(Cause{Kind: push.Call}, &usrloc.Binding{Contact: contact}); d != nil {
			t.Errorf("%q: data %v, want none", contact, d)
		}
	}
}

func TestData_Caller(t *testing.T) {
	tests := []struct {
		name string
		in   Caller
		want map[string]string
	}{
		{"nothing", Caller{}, nil},
		{"number", Caller{Number: "+4930123"}, map[string]string{"caller_number": "+4930123"}},
		{"both", Caller{"Bob", "+4930123"}, map[string]string{"caller_name": "Bob", "caller_number": "+4930123"}},
		{"what JSON has to escape stays", Caller{Name: `"B\ob" </script>`}, map[string]string{"caller_name": `"B\ob" </script>`}},
		{"what cannot be seen goes", Caller{Name: "B\x00o\r\nb\u202e\u200b\xff"}, map[string]string{"caller_name": "Bob"}},
		{"nothing that can be seen", Caller{Name: " \t\u2066"}, nil},
		{"too long", Caller{Name: strings.Repeat("é", 100)}, map[string]string{"caller_name": strings.Repeat("é", 64)}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			b := r.bind(time.Now(), fcm(secret))[0]
			if _, _, err := r.waker.Wake(alice, &b, Cause{Kind: push.Call, Caller: tt.in}, func(push.Outcome) {}); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, r.requests[0].Data); d != "" {
				t.Errorf("data (-want +got):\n%s", d)
			}
		})
	}
}

// Whatever others write, a payload stays one: valid, bounded, and the same when it is
// cleaned again.
func FuzzPlain(f *testing.F) {
	f.Add("Bob\r\n\"} \\\xff\u202e")
	f.Fuzz(func(t *testing.T, s string) {
		got := plain(s, maxName)
		if !utf8.ValidString(got) || utf8.RuneCountInString(got) > maxName {
			t.Errorf("plain(%q) = %q", s, got)
		}
		b, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		var back string
		if err := json.Unmarshal(b, &back); err != nil || back != got {
			t.Errorf("plain(%q) = %q, which JSON makes %q of", s, got, back)
		}
		if again := plain(got, maxName); strings.TrimSpace(again) != strings.TrimSpace(got) {
			t.Errorf("plain(%q) = %q, and again %q", s, got, again)
		}
	})
}
