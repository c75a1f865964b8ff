package registrar

import (
	"strings"
	"testing"
	"time"
)

func TestApply_LeadOfProvider_RFC8599_5_5(t *testing.T) {
	tests := []struct {
		name    string
		contact string
		expires string
		policy  func(*Policy)
		want    time.Duration
	}{
		{name: "a service without its own", contact: apns, expires: ";expires=86400", want: 2 * time.Minute},
		{name: "earlier", contact: fcm, expires: ";expires=86400", want: time.Hour},
		{name: "in capitals", contact: strings.Replace(fcm, "fcm", "FCM", 1), expires: ";expires=86400", want: time.Hour},
		{name: "not before half the time", contact: fcm, expires: ";expires=3600", want: 30 * time.Minute},
		{name: "not later than all others", contact: fcm, expires: ";expires=240", want: 2 * time.Minute},
		{
			name: "a longer one for all", contact: fcm, expires: ";expires=3600", want: 40 * time.Minute,
			policy: func(p *Policy) {
				p.Push.Lead, p.Push.MinExpires, p.Push.PNSReg = 40*time.Minute, 50*time.Minute, 0
			},
		},
		{name: "wakes itself (§4.1.4)", contact: fcm + ";+sip.pnsreg", expires: ";expires=86400", want: 2 * time.Minute},
		{
			name: "wakes itself, and was not told to", contact: fcm + ";+sip.pnsreg", expires: ";expires=86400", want: time.Hour,
			policy: func(p *Policy) { p.Push.PNSReg = 0 },
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, func(p *Policy) {
				p.Push.Leads = map[string]time.Duration{"fcm": time.Hour}
				if tt.policy != nil {
					tt.policy(p)
				}
			})
			w.mustRegister("one", 1, tt.contact+tt.expires)
			b := w.only()
			if got := b.Expires.Sub(b.RefreshAt); got != tt.want {
				t.Errorf("refreshed %v before the end, want %v", got, tt.want)
			}
		})
	}
}

func TestPolicy_LeadThatIsNone(t *testing.T) {
	p := pushPolicy()
	p.Push.Leads = map[string]time.Duration{"fcm": 0}
	if err := p.Validate(); err == nil || !strings.Contains(err.Error(), "of fcm") {
		t.Errorf("error %v, want one that names fcm", err)
	}
}

func TestApply_NoBackgroundPushes(t *testing.T) {
	for contact, refresh := range map[string]bool{apns: false, fcm: true} {
		w := newWorld(t, func(p *Policy) { p.Push.NoBackground = true })
		res := w.mustRegister("one", 1, contact)
		if b := w.only(); b.RefreshAt.IsZero() == refresh || (len(res.CallsOnly) == 0) != refresh || b.Push.IsZero() {
			t.Errorf("%s: refresh at %v, calls only %v", contact, b.RefreshAt, res.CallsOnly)
		}
	}
}

// Only what ends soon is worth a warning.
func TestApply_CallsOnlyForLong(t *testing.T) {
	for expires, warn := range map[string]bool{"604799": true, "604800": false} {
		w := newWorld(t)
		res := w.mustRegister("one", 1, "<sip:a@h;pn-provider=apns;pn-param=T.b.app.voip;pn-prid=00aa>;expires="+expires)
		if (len(res.CallsOnly) == 1) != warn {
			t.Errorf("expires %s: warned of %v, want a warning: %t", expires, res.CallsOnly, warn)
		}
	}
}

// The push service said that one token of two is dead. The phone, which does not
// know, is the same phone wherever it comes from, and has both again.
func TestApply_OneTokenOfTwoIsDead(t *testing.T) {
	tests := []struct{ name, contact string }{
		{"the same contact", apns},
		{"from another address", strings.Replace(apns, "@h", "@i", 1)},
		{"with another token", strings.Replace(apns, "00aa", "22cc", 1)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.mustRegister("one", 1, apns)
			w.only().Push.PRID = "11bb:remote"
			w.mustRegister("two", 1, tt.contact)
			if got := w.only().Push.PRID; !strings.HasSuffix(got, ":voip&11bb:remote") {
				t.Errorf("%d tokens after it registered again, want both", 1+strings.Count(got, "&"))
			}
		})
	}
}
