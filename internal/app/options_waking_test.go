package app

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reveille/configs"
	"reveille/internal/proxy"
	"reveille/internal/wake"
	"reveille/usrloc"
)

func TestWaking_Options(t *testing.T) {
	c := configs.Default().Push
	c.Policy.Providers = map[string]configs.WakePolicy{"apns": configs.Always}
	c.Policy.UserAgents = []configs.UserAgentPolicy{{UserAgent: "^Desk", Policy: configs.Asleep}, {UserAgent: "^Desk/9", Policy: configs.Always}}
	c.Wait.Rules = []configs.WaitRule{{Method: "INVITE", Provider: "webpush", Wait: time.Minute}}
	c.SkipInterval.Providers = map[string]time.Duration{"fcm": 10 * time.Second}
	c.Methods = []string{"NOTIFY"}
	var o proxy.Options
	if err := waking(&o, c); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		provider, agent string
		want            proxy.Mode
	}{
		{"fcm", "", proxy.Race}, {"apns", "Phone/1", proxy.Always}, {"apns", "Desk/9", proxy.Asleep},
	} {
		if got := o.Policy(tt.provider, tt.agent); got != tt.want {
			t.Errorf("policy of %s, %s = %v, want %v", tt.provider, tt.agent, got, tt.want)
		}
	}
	if first, last := o.Waits.Rules[0], o.Waits.Rules[1]; first.Wait != time.Minute || last.Wait != 45*time.Second {
		t.Errorf("rules %+v, want the operator's before ours", o.Waits.Rules)
	}
	if o.Skip("fcm") != 10*time.Second || o.Skip("apns") != 0 || len(o.Wakes) != 1 || o.Dormant {
		t.Errorf("options %+v", o)
	}
	want := wake.Learning{Failures: 3, After: 48 * time.Hour, Least: 5 * time.Second}
	if s := wakeSettings(c); s.Learning != want || s.RefreshesPerHour != 60 {
		t.Errorf("settings %+v", s)
	}
	c.Learn.Enabled = false
	if s := wakeSettings(c); s.Learning != (wake.Learning{}) || wakeDormant(c) != 0 {
		t.Errorf("switched off: %+v", s)
	}
}

func TestRingback_Options(t *testing.T) {
	networks := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	got := ringback(configs.Ringback{Callers: []string{"sip:*@Example.COM", "*", "sips:+49*"}, Routes: []string{"carrier"}, Networks: networks})
	want := proxy.Ringback{Callers: []string{"*@example.com", "*", "+49*"}, Routes: []string{"carrier"}, Networks: networks}
	if d := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); d != "" {
		t.Errorf("ringback (-want +got):\n%s", d)
	}
}

// end lets the registration of a user end, as if time had passed.
func (r *rig) end(user string) {
	r.t.Helper()
	r.Store().Update(r.t.Context(), usrloc.AOR("sip:"+user+"@example.com"), func(rec usrloc.Record) (usrloc.Record, error) {
		rec.Bindings = append([]usrloc.Binding{}, rec.Bindings...)
		rec.Bindings[0].Expires = time.Now().Add(-time.Minute)
		return rec, nil
	}, func(_ usrloc.Record, _ []usrloc.Change, err error) {
		if err != nil {
			r.t.Error(err)
		}
	})
}

// With push.dormant a phone whose registration has ended rings all the same; a
// reload switches it off.
func TestDormant_PhoneRings(t *testing.T) {
	r := newRig(t, `push: {wait: {invite: {default: 20s}}, dormant: {enabled: true}, apps: @apps}`)
	r.sleeper("alice", "tcp", "token-of-alice")
	bob := r.phone("bob", "udp", "")
	r.register(bob)
	r.end("alice")
	if err := ring(r, bob); err != nil {
		t.Fatal(err)
	}
	if n := r.pushes("token-of-alice"); n != 1 {
		t.Errorf("%d pushes, want 1", n)
	}
	r.reload(`push: {wait: {invite: {default: 20s}}, apps: @apps}`)
	r.end("alice")
	if err := ring(r, bob); err == nil {
		t.Error("a phone rang whose registration had ended")
	}
	if n := r.pushes("token-of-alice"); n != 1 {
		t.Errorf("%d pushes, want no further one", n)
	}
}
