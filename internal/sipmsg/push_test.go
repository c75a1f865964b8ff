package sipmsg

import (
	"strings"
	"testing"
)

func TestURI_WithoutPush_RFC8599_13(t *testing.T) {
	also := []string{"app-token"}
	for _, tt := range []struct{ name, uri, want string }{
		{"none", "sip:a@h;ob;transport=tcp?x=y", "sip:a@h;ob;transport=tcp?x=y"},
		{"those of the RFC", "sip:a@h;pn-provider=apns;ob;pn-param=T.b.voip&remote;pn-prid=a:voip&b:remote?x=y", "sip:a@h;ob?x=y"},
		{"those of apps", "sip:a@h;pn-call-str=IC;pn-msg-snd=x;pn-timeout=0;pn-silent=1;pn-tok=x;pn-type=google;ob", "sip:a@h;ob"},
		{"in capitals and escaped", "sip:a@h;PN-Prid=x;%70n-tok=y;App%2dToken=z", "sip:a@h"},
		{"by another name", "sip:a@h;app-token=z;app-id=1", "sip:a@h;app-id=1"},
		{"what may be shown (§6.2)", "sip:a@h;pn-purr=x;PN-PURR=y", "sip:a@h;pn-purr=x;PN-PURR=y"},
		{"a name that begins so", "sip:a@h;pn=1;p;pnx-a=2", "sip:a@h;pn=1;p;pnx-a=2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			u, err := ParseURI(tt.uri)
			if err != nil {
				t.Fatal(err)
			}
			if got := u.WithoutPush(also); got != tt.want {
				t.Errorf("WithoutPush(%q) = %q, want %q", tt.uri, got, tt.want)
			}
			if got := u.HasPush(also); got != (tt.uri != tt.want) {
				t.Errorf("HasPush(%q) = %t", tt.uri, got)
			}
			_, params, _ := strings.Cut(strings.TrimSuffix(tt.uri, "?x=y"), "@h")
			_, want, _ := strings.Cut(strings.TrimSuffix(tt.want, "?x=y"), "@h")
			if got := Params(params).WithoutPush(also); string(got) != want {
				t.Errorf("Params(%q).WithoutPush() = %q, want %q", params, got, want)
			}
		})
	}
	u, err := ParseURI("sip:a@h;pn-purr=x;ob")
	if err != nil {
		t.Fatal(err)
	}
	if got := u.WithoutPush([]string{"pn-purr"}); got != "sip:a@h;ob" {
		t.Errorf("with pn-purr by name: %q", got)
	}
}

func TestHoldsToken(t *testing.T) {
	for _, tt := range []struct {
		value, prid string
		want        bool
	}{
		{"0123456789ab", "0123456789ab", true},
		{"https%3A%2F%2Fpush.example%2Fx", "https://push.example/x", true},
		{"i:com.example.app:0123456789ab", "0123456789ab", true},
		{"0123456789ab", "0123456789ab:voip", true},
		{"voip", "0123456789ab:voip", false},
		{"0123", "0123", false},
		{"com.example.app", "0123456789ab", false},
		{"0123456789ab", "", false},
	} {
		if got := HoldsToken(tt.value, tt.prid); got != tt.want {
			t.Errorf("HoldsToken(%q, %q) = %t, want %t", tt.value, tt.prid, got, tt.want)
		}
	}
	u, err := ParseURI("sip:a@h;x=0123456789ab;ob;Y=0123456789ab")
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(u.Telling("0123456789ab"), " "); got != "x Y" {
		t.Errorf("Telling = %q", got)
	}
}

// What is left says nothing of push, and all the rest.
func FuzzURI_WithoutPush(f *testing.F) {
	f.Add("sip:a@h;pn-prid=x;ob;%70n-tok=y?a=b", "ob")
	f.Add("sip:a@h;pn-purr=x;;=;%", "pn-purr")
	f.Fuzz(func(t *testing.T, s, name string) {
		u, err := ParseURI(s)
		if err != nil {
			return
		}
		left := u.WithoutPush([]string{name})
		v, err := ParseURI(left)
		if err != nil {
			t.Fatalf("%q: what is left, %q, is no URI: %v", s, left, err)
		}
		if v.HasPush([]string{name}) {
			t.Errorf("%q: %q still says how to push", s, left)
		}
		if v.WithoutPush([]string{name}) != left || !u.HasPush([]string{name}) && left != s {
			t.Errorf("%q: %q is not what was to be left", s, left)
		}
	})
}
