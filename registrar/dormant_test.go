package registrar

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"reveille/push"
	"reveille/usrloc"
)

// retaining is a house whose devices are woken every 20 minutes for two hours
// after their registration has ended.
func retaining(t *testing.T, test func(h *house)) {
	t.Helper()
	keep(t, RefresherOptions{WakeDormant: 20 * time.Minute}, func(h *house) {
		h.policy.Push.Retain = 2 * time.Hour
		test(h)
	})
}

// Off by default: with the binding the right to push ends (RFC 8599 §5.5). Where it
// is asked for, the push data stay until RetainUntil.
func TestDormant_WokenNowAndThen_RFC8599_5_5(t *testing.T) {
	retaining(t, func(h *house) {
		h.register(alice, 1, fcm+";expires=600")
		h.rest(605 * time.Second)
		before := len(h.pushes())
		b := h.bindings()
		if len(b) != 1 || !b[0].Expired(time.Now()) || b[0].Push.IsZero() {
			t.Fatalf("bindings after the end: %+v", b)
		}
		if d := cmp.Diff([]string{"due", "dormant by expiry"}, h.told.actions()); d != "" {
			t.Errorf("events (-want +got):\n%s", d)
		}
		if n := testutil.ToFloat64(h.metrics.dormant); n != 1 {
			t.Errorf("%v dormant, want 1", n)
		}
		h.rest(19 * time.Minute)
		if got := h.pushes(); len(got) != before {
			t.Errorf("pushes at %v, before 20 minutes are over", got)
		}
		h.rest(4 * time.Minute)
		if got := h.pushes(); len(got) != before+1 {
			t.Errorf("%d pushes in 23 minutes, want 1", len(got)-before)
		}
		if r := h.service.request(before); r.Kind != push.Refresh || r.Deadline.Before(time.Now()) {
			t.Errorf("request %+v", r)
		}
		h.rest(2 * time.Hour)
		if n := len(h.pushes()) - before; n != 5 {
			t.Errorf("%d pushes in two hours, want 5", n)
		}
		if b := h.bindings(); len(b) != 0 {
			t.Errorf("it is kept longer than that: %+v", b)
		}
		if d := cmp.Diff([]string{"due", "dormant by expiry", "expired by expiry"}, h.told.actions()); d != "" {
			t.Errorf("events (-want +got):\n%s", d)
		}
	})
}

func TestDormant_NeverAfterADeregistration_RFC8599_5_5(t *testing.T) {
	for name, leave := range map[string]func(h *house){
		"awake": func(h *house) {
			h.register(alice, 2, fcm+";expires=0")
		},
		"dormant": func(h *house) {
			h.rest(time.Hour)
			h.register(alice, 2, "<sip:a@h;pn-provider=fcm;pn-param=proj>;expires=0")
		},
		"its token given back": func(h *house) {
			h.register(alice, 2, "<sip:a@h;pn-provider=fcm;pn-param=proj>;expires=600")
		},
	} {
		t.Run(name, func(t *testing.T) {
			retaining(t, func(h *house) {
				h.register(alice, 1, fcm+";expires=600")
				leave(h)
				h.rest(time.Second)
				before := len(h.pushes())
				h.rest(2 * time.Hour)
				if got := h.pushes(); len(got) != before {
					t.Errorf("pushes at %v, after the phone left", got)
				}
				if b := h.bindings(); len(b) != 0 {
					t.Errorf("bindings are left: %+v", b)
				}
			})
		})
	}
}

// A returning device keeps its binding, and is registered as it ever was.
func TestDormant_ReturnsAsTheSameBinding(t *testing.T) {
	retaining(t, func(h *house) {
		h.register(alice, 1, fcm+";expires=600")
		was := h.bindings()[0]
		h.rest(time.Hour)
		before := len(h.pushes())
		h.register(alice, 2, fcm+";expires=600")
		h.rest(time.Second)
		b := h.bindings()
		if len(b) != 1 || b[0].ID != was.ID || !b[0].Created.Equal(was.Created) || b[0].Expired(time.Now()) {
			t.Errorf("bindings: %+v, want that of before, registered", b)
		}
		h.rest(485 * time.Second)
		if n := len(h.pushes()) - before; n != 2 {
			t.Errorf("%d pushes before its end, want those of the refresh", n)
		}
	})
}

// A restart wakes nobody before the time.
func TestDormant_ARestartWakesNobody(t *testing.T) {
	retaining(t, func(h *house) {
		h.register(alice, 1, fcm+";expires=600")
		h.rest(11 * time.Minute)
		b := h.bindings()[0]
		if left := time.Until(b.RefreshAt); left < 18*time.Minute || left > 21*time.Minute {
			t.Errorf("the next wake is stored as %v from now, want some 19 minutes", left)
		}
	})
}

func TestDormant_SwitchedOffWakesNobody(t *testing.T) {
	retaining(t, func(h *house) {
		h.register(alice, 1, fcm+";expires=600")
		h.rest(11 * time.Minute)
		before := len(h.pushes())
		h.SetWakeDormant(0)
		h.rest(2 * time.Hour)
		if got := h.pushes(); len(got) != before {
			t.Errorf("pushes at %v", got)
		}
	})
}

func TestActionOf_ReturnFromDormancy(t *testing.T) {
	old := usrloc.Binding{Contact: "sip:a@h", Expires: birthday, Updated: birthday.Add(-time.Hour)}
	back := old
	back.Updated, back.Expires = birthday.Add(time.Hour), birthday.Add(2*time.Hour)
	if got := actionOf(&usrloc.Change{Kind: usrloc.Updated, Cause: usrloc.CauseRegister, Old: &old, New: &back}); got != "created" {
		t.Errorf("action = %q, want created: it was not registered", got)
	}
}

// A device that calls alone may wake is not pushed to, but that it is dormant is told.
func TestDormant_CallsAloneMayWakeIt(t *testing.T) {
	retaining(t, func(h *house) {
		h.register(alice, 1, "<sip:a@h;pn-provider=apns;pn-param=TEAM.app.voip;pn-prid=00aa11bb>;expires=600")
		h.rest(599 * time.Second)
		if d := cmp.Diff([]string(nil), h.told.actions()); d != "" {
			t.Errorf("events before the end (-want +got):\n%s", d)
		}
		h.rest(time.Hour)
		if d := cmp.Diff([]string{"dormant by expiry"}, h.told.actions()); d != "" {
			t.Errorf("events (-want +got):\n%s", d)
		}
		if got := h.pushes(); len(got) != 0 {
			t.Errorf("pushes at %v", got)
		}
		if b := h.bindings(); len(b) != 1 || b[0].Push.IsZero() {
			t.Errorf("bindings: %+v, want it kept", b)
		}
	})
}

// Dormant devices count as contacts, but never keep one that registers out.
func TestApply_DormantMakesRoom(t *testing.T) {
	for _, overflow := range []Overflow{RejectNew, ReplaceOldest} {
		w := newWorld(t, func(p *Policy) { p.MaxContacts, p.Overflow, p.Push.Retain = 2, overflow, time.Hour })
		device := func(n string) string {
			return "<sip:alice@192.0.2." + n + ";pn-provider=fcm;pn-param=p;pn-prid=tok" + n + ">;+sip.instance=\"<urn:x:" + n + ">\";expires=600"
		}
		w.mustRegister("one", 1, device("1"))
		w.after(11 * time.Minute)
		w.mustRegister("two", 1, device("2"))
		if len(w.rec.Bindings) != 2 {
			t.Fatalf("%d bindings, want the dormant one kept", len(w.rec.Bindings))
		}
		if res := w.mustRegister("two", 2); slices.Contains(res.Carried, w.rec.Bindings[0].ID) {
			t.Error("the dormant one was carried")
		}
		w.mustRegister("three", 1, device("3"))
		if got := len(w.rec.Bindings); got != 2 || w.rec.Bindings[0].Instance != "urn:x:2" {
			t.Errorf("%d bindings, the first of %s; want the dormant one gone", got, w.rec.Bindings[0].Instance)
		}
	}
}

// A refresh is answered in place only while the registration lasts: what comes
// later begins it anew, and somebody has to be told.
func TestRefresh_DormantTakesTheLongWay(t *testing.T) {
	x := newRefreshing(t, nil, func(p *Policy) { p.Push.Retain = time.Hour })
	x.apply(x.input("c", 1), pushContact+";expires=600")
	b := x.record().Bindings[0]
	if !b.RetainUntil.Equal(b.Expires.Add(time.Hour)) {
		t.Fatalf("kept until %s, want an hour after %s", b.RetainUntil, b.Expires)
	}
	x.now = b.Expires.Add(-time.Second)
	if _, ok := x.try(x.input("c", 2), pushContact+";expires=600"); !ok {
		t.Fatal("declined before the end")
	}
	if b = x.record().Bindings[0]; !b.RetainUntil.Equal(b.Expires.Add(time.Hour)) {
		t.Errorf("refreshed in place it is kept until %s, want an hour after %s", b.RetainUntil, b.Expires)
	}
	x.now = b.Expires
	if _, ok := x.try(x.input("c", 3), pushContact+";expires=600"); ok {
		t.Error("taken after the end")
	}
}
