package registrar

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reveille/usrloc"
)

const (
	apns = "<sip:a@h;pn-provider=apns;pn-param=TEAM.com.example.app.voip&remote;pn-prid=00aa:voip&11bb:remote>"
	fcm  = "<sip:a@h;pn-provider=fcm;pn-param=proj;pn-prid=tok>"
	web  = "<sip:a@h;pn-provider=webpush;pn-prid=https%3A%2F%2Fpush.example%2Fa%3Db>"
)

func TestApply_PushBinding_RFC8599_5_6_1_1(t *testing.T) {
	tests := []struct {
		name    string
		contact string
		want    usrloc.Push
		caps    string // Feature-Caps of the answer
	}{
		{
			"apns", apns,
			usrloc.Push{Provider: "apns", Param: "TEAM.com.example.app.voip&remote", PRID: "00aa:voip&11bb:remote"},
			`*;+sip.pns="apns";+sip.pnspurr="purr0001"`,
		},
		{"fcm", fcm, usrloc.Push{Provider: "fcm", Param: "proj", PRID: "tok"}, `*;+sip.pns="fcm";+sip.pnspurr="purr0001"`},
		{
			"webpush has VAPID", web,
			usrloc.Push{Provider: "webpush", PRID: "https://push.example/a=b"},
			`*;+sip.pns="webpush";+sip.vapid="BPub-Key_0";+sip.pnspurr="purr0001"`,
		},
		{
			"wakes itself (§4.1.4)", fcm + ";+sip.pnsreg",
			usrloc.Push{Provider: "fcm", Param: "proj", PRID: "tok", SelfWaking: true},
			`*;+sip.pns="fcm";+sip.pnsreg="130";+sip.pnspurr="purr0001"`,
		},
		{
			"provider in capitals", strings.Replace(fcm, "fcm", "FCM", 1),
			usrloc.Push{Provider: "FCM", Param: "proj", PRID: "tok"},
			`*;+sip.pns="fcm";+sip.pnspurr="purr0001"`,
		},
		// §5.6.1: nothing to do with push.
		{"no pn-provider", "<sip:a@h;pn-prid=tok;pn-param=proj>", usrloc.Push{}, ""},
		// §5.6.1.1: handled as if there was no push.
		{"unknown provider", "<sip:a@h;pn-provider=acme;pn-prid=tok>", usrloc.Push{}, ""},
		{"apns without pn-param (§10)", "<sip:a@h;pn-provider=apns;pn-prid=00aa>", usrloc.Push{}, ""},
		{"fcm without pn-param (§11)", "<sip:a@h;pn-provider=fcm;pn-prid=tok>", usrloc.Push{}, ""},
		{"webpush with pn-param (§12)", strings.Replace(web, "webpush", "webpush;pn-param=x", 1), usrloc.Push{}, ""},
		{"hostile provider", `<sip:a@h;pn-provider=a%22%0d%0aX:;pn-prid=tok>`, usrloc.Push{}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			res := w.mustRegister("one", 1, tt.contact+";expires=7200")
			b := w.only()
			if d := cmp.Diff(tt.want, b.Push); d != "" {
				t.Errorf("push data (-want +got):\n%s", d)
			}
			if got := featureCaps(w.ok(res)); got != tt.caps {
				t.Errorf("Feature-Caps %q, want %q", got, tt.caps)
			}
			want := time.Time{}
			if !tt.want.IsZero() {
				// §5.5: at least 120 s before the end.
				want = b.Expires.Add(-120 * time.Second)
			}
			if !b.RefreshAt.Equal(want) {
				t.Errorf("refresh at %v, want %v", b.RefreshAt, want)
			}
			// Only a device that can be woken gets more than an hour.
			if got, most := w.granted(), 7200*time.Second; got > most || (got == most) != !tt.want.IsZero() {
				t.Errorf("granted %v", got)
			}
		})
	}
}

// featureCaps returns the Feature-Caps lines of an answer, separated by " | ".
func featureCaps(lines string) string {
	var caps []string
	for line := range strings.Lines(lines) {
		if v, ok := strings.CutPrefix(line, "Feature-Caps: "); ok {
			caps = append(caps, strings.TrimSuffix(v, "\r\n"))
		}
	}
	return strings.Join(caps, " | ")
}

func TestApply_MaxExpiresOfPush(t *testing.T) {
	w := newWorld(t)
	w.mustRegister("one", 1, fcm+";expires=99999999")
	if got := w.granted(); got != 30*24*time.Hour {
		t.Errorf("granted %v, want 30 days", got)
	}
}

func TestApply_TooShortForPush_RFC8599_5_6_1_1(t *testing.T) {
	tests := []struct {
		name     string
		tooShort TooShort
		policy   func(*Policy)
		expires  string
		refused  uint32
		want     time.Duration
		push     bool
	}{
		{name: "at the minimum", expires: ";expires=240", want: 240 * time.Second, push: true},
		{name: "below", expires: ";expires=239", refused: 240},
		{name: "below the lead", expires: ";expires=100", refused: 240},
		{name: "below everything", expires: ";expires=1", refused: 240},
		{name: "below, and lifetimes below the minimum are refused", policy: reject, expires: ";expires=1", refused: 240},
		{name: "below, as a contact without push", tooShort: TooShortWithoutPush, expires: ";expires=239", want: 239 * time.Second},
		{name: "raised, as a contact without push", tooShort: TooShortWithoutPush, expires: ";expires=1", want: 60 * time.Second},
		{
			name: "not longer than a contact without push may have", tooShort: TooShortWithoutPush, expires: ";expires=200",
			policy: func(p *Policy) { p.MaxExpires = 100 * time.Second }, want: 100 * time.Second,
		},
		{
			name: "refused for what a contact without push must have", tooShort: TooShortWithoutPush, policy: reject,
			expires: ";expires=1", refused: 60,
		},
		{name: "the default is long enough", policy: func(p *Policy) { p.DefaultExpires = 100 * time.Second }, want: 240 * time.Second, push: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, func(p *Policy) {
				p.Push.TooShort = tt.tooShort
				if tt.policy != nil {
					tt.policy(p)
				}
			})
			res, err := w.register("one", 1, fcm+tt.expires)
			if tt.refused != 0 {
				if r := wantRefusal(t, err, 423); r.MinExpires != tt.refused {
					t.Errorf("Min-Expires %d, want %d", r.MinExpires, tt.refused)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			b := w.only()
			if w.granted() != tt.want || b.Push.IsZero() == tt.push || (len(res.Caps) > 0) != tt.push || b.RefreshAt.IsZero() == tt.push {
				t.Errorf("granted %v, push %v, caps %v, refresh at %v", w.granted(), b.Push, res.Caps, b.RefreshAt)
			}
		})
	}
}

func TestApply_RemovalIsNeverTooShort_RFC8599_5_6_1_1(t *testing.T) {
	w := newWorld(t, func(p *Policy) { p.Push.Unsupported, p.ShortExpires = RejectUnsupported, Reject })
	for i, c := range []string{fcm, "<sip:a@h;pn-provider=acme;pn-prid=x>", "<sip:a@h;pn-provider>"} {
		if res := w.mustRegister("one", uint32(i+1), c+";expires=0"); len(res.Caps) != 0 {
			t.Errorf("%s: announced %v", c, res.Caps)
		}
	}
}

func TestApply_PNSReg_RFC8599_5_6_1_1(t *testing.T) {
	tests := []struct {
		name     string
		interval time.Duration
		contact  string
		want     uint32
	}{
		{"asked for", 130 * time.Second, fcm + ";+sip.pnsreg;expires=600", 130},
		{"not asked for", 130 * time.Second, fcm + ";expires=600", 0},
		{"we always push", 0, fcm + ";+sip.pnsreg;expires=600", 0},
		{"longer than the lifetime", 600 * time.Second, fcm + ";+sip.pnsreg;expires=600", 0},
		{"just shorter", 599 * time.Second, fcm + ";+sip.pnsreg;expires=600", 599},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, func(p *Policy) { p.Push.PNSReg = tt.interval })
			res := w.mustRegister("one", 1, tt.contact)
			if len(res.Caps) != 1 || res.Caps[0].PNSReg != tt.want {
				t.Errorf("caps %+v, want pnsreg %d", res.Caps, tt.want)
			}
			// §5.5: if its own REGISTER does not come, it is pushed to after all.
			if b := w.only(); !b.RefreshAt.Equal(b.Expires.Add(-120 * time.Second)) {
				t.Errorf("refresh at %v", b.RefreshAt)
			}
		})
	}
}

func TestApply_Query_RFC8599_5_6_1_2(t *testing.T) {
	const all = `*;+sip.pns="apns" | *;+sip.pns="fcm" | *;+sip.pns="webpush";+sip.vapid="BPub-Key_0"`
	none := func(p *Policy) { p.Push.Waking = services{} }
	strict := func(p *Policy) { p.Push.Unsupported = RejectUnsupported }
	tests := []struct {
		name    string
		contact string
		policy  []func(*Policy)
		caps    string
		refused bool
	}{
		{name: "all, without value", contact: "<sip:a@h;pn-provider>", caps: all},
		{name: "all, empty value", contact: "<sip:a@h;pn-provider=>", caps: all},
		{name: "all, for a device that wakes itself", contact: "<sip:a@h;pn-provider>;+sip.pnsreg", caps: all},
		{name: "one", contact: "<sip:a@h;pn-provider=fcm>", caps: `*;+sip.pns="fcm"`},
		{name: "one without the pn-param it needs", contact: "<sip:a@h;pn-provider=apns>", caps: `*;+sip.pns="apns"`},
		{name: "one with VAPID", contact: "<sip:a@h;pn-provider=webpush>", caps: `*;+sip.pns="webpush";+sip.vapid="BPub-Key_0"`},
		{name: "one, in capitals", contact: "<sip:a@h;pn-provider=FCM>", caps: `*;+sip.pns="fcm"`},
		{name: "unknown", contact: "<sip:a@h;pn-provider=acme>"},
		{name: "unknown, nobody else can", contact: "<sip:a@h;pn-provider=acme>", policy: []func(*Policy){strict}, refused: true},
		{name: "known, nobody else can", contact: "<sip:a@h;pn-provider=fcm>", policy: []func(*Policy){strict}, caps: `*;+sip.pns="fcm"`},
		{name: "all of nothing", contact: "<sip:a@h;pn-provider>", policy: []func(*Policy){none}},
		{name: "all of nothing, nobody else can", contact: "<sip:a@h;pn-provider>", policy: []func(*Policy){none, strict}, refused: true},
		{name: "no push here", contact: "<sip:a@h;pn-provider=fcm>", policy: []func(*Policy){func(p *Policy) { p.Push.Waking = nil }}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, tt.policy...)
			res, err := w.register("one", 1, tt.contact)
			if tt.refused {
				wantRefusal(t, err, 555)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := featureCaps(w.ok(res)); got != tt.caps {
				t.Errorf("Feature-Caps %q, want %q", got, tt.caps)
			}
			// Nothing to wake was stored, and no PURR given.
			if b := w.only(); !b.Push.IsZero() || !b.RefreshAt.IsZero() {
				t.Errorf("binding %+v", b)
			}
		})
	}
}

func TestApply_Unsupported_RFC8599_8_1(t *testing.T) {
	for _, contact := range []string{
		"<sip:a@h;pn-provider=acme;pn-prid=x>",
		"<sip:a@h;pn-provider=apns;pn-prid=00aa>", // pn-param is missing
	} {
		w := newWorld(t, func(p *Policy) { p.Push.Unsupported = RejectUnsupported })
		_, err := w.register("one", 1, contact)
		if r := wantRefusal(t, err, 555); r.Reason != "Push Notification Service Not Supported" {
			t.Errorf("reason %q", r.Reason)
		}
		w.want()
	}
}

func TestApply_AnotherProxyWakes_RFC8599_5_6_1(t *testing.T) {
	for _, contact := range []string{fcm, "<sip:a@h;pn-provider>", "<sip:a@h;pn-provider=acme;pn-prid=x>"} {
		w := newWorld(t, func(p *Policy) { p.Push.Unsupported = RejectUnsupported })
		in := w.input("one", 1, contact+";expires=90")
		in.PushIndicated = true
		res, err := w.apply(in)
		if err != nil {
			t.Fatalf("%s: %v", contact, err)
		}
		if b := w.only(); !b.Push.IsZero() || !b.RefreshAt.IsZero() || len(res.Caps) != 0 {
			t.Errorf("%s: binding %+v, announced %v", contact, b, res.Caps)
		}
	}
}

func TestApply_CallsOnly(t *testing.T) {
	tests := []struct {
		name    string
		contact string
		only    bool
	}{
		{"voip service", "<sip:a@h;pn-provider=apns;pn-param=T.b.app.voip;pn-prid=00aa>", true},
		{"labelled", "<sip:a@h;pn-provider=apns;pn-param=T.b.app.voip&remote;pn-prid=00aa:voip>", true},
		{"both", apns, false},
		{"remote", "<sip:a@h;pn-provider=apns;pn-param=T.b.app.remote;pn-prid=00aa:remote>", false},
		{"other service", fcm, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			res := w.mustRegister("one", 1, tt.contact)
			b := w.only()
			if b.RefreshAt.IsZero() != tt.only || (len(res.CallsOnly) == 1) != tt.only {
				t.Errorf("refresh at %v, calls only %v", b.RefreshAt, res.CallsOnly)
			}
			// It can be woken for calls all the same.
			if b.Push.IsZero() || len(res.Caps) != 1 {
				t.Errorf("push %v, announced %v", b.Push, res.Caps)
			}
		})
	}
}

func TestApply_OneFeatureCapsPerService_RFC8599_5_4(t *testing.T) {
	w := newWorld(t)
	res := w.mustRegister("one", 1,
		"<sip:1@h;pn-provider=fcm;pn-param=p;pn-prid=t1>", "<sip:2@h;pn-provider=fcm;pn-param=p;pn-prid=t2>",
		"<sip:3@h;pn-provider=webpush;pn-prid=t3>", "<sip:4@h>")
	want := `*;+sip.pns="fcm";+sip.pnspurr="purr0001" | *;+sip.pns="webpush";+sip.vapid="BPub-Key_0";+sip.pnspurr="purr0003"`
	if got := featureCaps(w.ok(res)); got != want {
		t.Errorf("Feature-Caps %q, want %q", got, want)
	}
}

func TestApply_HostileProviderIsNeverAnnounced_RFC8599_9(t *testing.T) {
	w := newWorld(t, func(p *Policy) { p.Push.Waking = services{`a"b`: "", "fcm": `x"y`} })
	res := w.mustRegister("one", 1, "<sip:a@h;pn-provider=a%22b;pn-prid=tok>")
	if b := w.only(); !b.Push.IsZero() || len(res.Caps) != 0 {
		t.Errorf("push %v, announced %v", b.Push, res.Caps)
	}
	// A key that cannot be written is left out.
	if res = w.mustRegister("two", 1, fcm); len(res.Caps) != 1 || res.Caps[0].VAPID != "" {
		t.Errorf("announced %v", res.Caps)
	}
}
