package wake

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"reveille/internal/event"
	"reveille/push"
	"reveille/usrloc"
)

// taken wakes b for a request of that kind and has the push taken. It returns what
// the request is told.
func (r *rig) taken(b *usrloc.Binding, kind push.Kind) (pushID string, told *[]push.Class) {
	r.t.Helper()
	told = new([]push.Class)
	id, _, err := r.waker.Wake(alice, b, Cause{Kind: kind, Deadline: time.Now().Add(25 * time.Second)}, func(o push.Outcome) { *told = append(*told, o.Class) })
	if err != nil {
		r.t.Fatal(err)
	}
	r.done[len(r.done)-1](push.Outcome{Class: push.OK})
	return id, told
}

func (r *rig) report(p Report) {
	r.t.Helper()
	if err := r.waker.Report(r.t.Context(), p); err != nil {
		r.t.Errorf("Report(%+v) = %v", p, err)
	}
}

func (r *rig) prids() (list []string) {
	for _, b := range r.bindings() {
		list = append(list, b.Push.PRID)
	}
	return list
}

func TestReport(t *testing.T) {
	type phones = []usrloc.Binding
	for _, tt := range []struct {
		name   string
		report func(id string, bs phones) Report
		// told is what the two requests hear that wait for the phones "a" and "b" after
		// their pushes were taken; prids are the tokens that are left.
		a, b  push.Class
		prids string
	}{
		{"delivered", func(id string, _ phones) Report { return Report{PushID: id, Result: Delivered} }, 0, 0, "[a b]"},
		{"failed", func(id string, _ phones) Report { return Report{PushID: id, Result: Failed} }, push.Rejected, 0, "[a b]"},
		{"gone", func(id string, _ phones) Report { return Report{PushID: id, Result: Gone, Reason: "uninstalled"} }, push.Gone, 0, "[ b]"},
		{"gone, by user", func(string, phones) Report { return Report{AOR: alice, Result: Gone} }, push.Gone, push.Gone, "[ ]"},
		{"gone, by phone", func(_ string, bs phones) Report { return Report{AOR: alice, Binding: bs[1].ID, Result: Gone} }, 0, push.Gone, "[a ]"},
		{"failed, by user", func(string, phones) Report { return Report{AOR: alice, Result: Failed} }, push.Rejected, push.Rejected, "[a b]"},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			bs := r.bind(time.Now(), fcm("a"), fcm("b"))
			time.Sleep(time.Second)
			id, first := r.taken(&bs[0], push.Call)
			_, again := r.taken(&bs[0], push.Message) // The same push wakes it for both.
			_, refresh := r.taken(&bs[0], push.Refresh)
			_, other := r.taken(&bs[1], push.Call)
			time.Sleep(time.Second)
			r.events = nil
			r.report(tt.report(id, bs))
			heard := func(c push.Class) []push.Class {
				if c == 0 {
					return []push.Class{push.OK}
				}
				return []push.Class{push.OK, c}
			}
			want := [][]push.Class{heard(tt.a), heard(tt.a), heard(tt.b), heard(0)}
			if diff := cmp.Diff(want, [][]push.Class{*first, *again, *other, *refresh}); diff != "" {
				t.Errorf("%s: what the requests hear (-want +got):\n%s", tt.name, diff)
			}
			if got := fmt.Sprint(r.prids()); got != tt.prids {
				t.Errorf("%s: the tokens are %s, want %s", tt.name, got, tt.prids)
			}
			e, ok := r.events[0].(event.PushReported)
			if !ok || e.Result != strings.SplitN(tt.name, ",", 2)[0] || e.AOR != string(alice) || e.Binding == "" {
				t.Errorf("%s: the event is %+v", tt.name, r.events[0])
			}
			if got, want := slices.Contains(r.forgotten, id), tt.a != 0; got != want {
				t.Errorf("%s: the push answers for others still: %v", tt.name, !got)
			}
			if got := r.waker.Can(&bs[0]); got != strings.HasPrefix(tt.prids, "[a") {
				t.Errorf("%s: the first can be woken again: %v", tt.name, got)
			}
		})
	}
}

// TestReport_Early: a push system that is asked by events may be done before it is known
// here that it took the push.
func TestReport_Early(t *testing.T) {
	for _, tt := range []struct {
		name   string
		result Result
		taken  push.Class
		want   []push.Class
		prid   string
	}{
		{"failed", Failed, push.OK, []push.Class{push.OK, push.Rejected}, "a"},
		{"gone", Gone, push.OK, []push.Class{push.OK, push.Gone}, ""},
		{"delivered", Delivered, push.OK, []push.Class{push.OK}, "a"},
		{"of a push that is not taken", Gone, push.Network, []push.Class{push.Network}, "a"},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			b := r.bind(time.Now(), fcm("a"))[0]
			time.Sleep(time.Second)
			var told []push.Class
			id, _, err := r.waker.Wake(alice, &b, Cause{Kind: push.Call, Deadline: time.Now().Add(25 * time.Second)}, func(o push.Outcome) { told = append(told, o.Class) })
			if err != nil {
				t.Fatal(err)
			}
			r.report(Report{PushID: id, Result: tt.result})
			if len(told) > 0 {
				t.Errorf("%s: told %v before the push was taken", tt.name, told)
			}
			r.done[0](push.Outcome{Class: tt.taken})
			if diff := cmp.Diff(tt.want, told); diff != "" {
				t.Errorf("%s: what the request hears (-want +got):\n%s", tt.name, diff)
			}
			if got := r.prids()[0]; got != tt.prid {
				t.Errorf("%s: the token is %q, want %q", tt.name, got, tt.prid)
			}
			if n := len(r.waker.taken.asked); n != 0 {
				t.Errorf("%s: %d pushes are kept as asked", tt.name, n)
			}
		})
	}
}

// TestReport_PhoneCameBack: word of a token that the phone has registered again since
// is out of date.
func TestReport_PhoneCameBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		b := r.bind(time.Now(), fcm("a"))[0]
		time.Sleep(time.Second)
		id, _ := r.taken(&b, push.Call)
		time.Sleep(time.Second)
		r.store.Update(t.Context(), alice, func(rec usrloc.Record) (usrloc.Record, error) {
			rec.Bindings = slices.Clone(rec.Bindings)
			rec.Bindings[0].Updated = time.Now()
			return rec, nil
		}, func(usrloc.Record, []usrloc.Change, error) {})
		time.Sleep(time.Second)
		r.report(Report{PushID: id, Result: Gone})
		back := r.bindings()[0]
		if back.Push.PRID != "a" || !r.waker.Can(&back) {
			t.Errorf("the token is %q, can be woken: %v", back.Push.PRID, r.waker.Can(&back))
		}
	})
}

func TestReport_Unknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		b := r.bind(time.Now(), fcm("a"), usrloc.Push{})[0]
		id, told := r.taken(&b, push.Call)
		time.Sleep(26 * time.Second)
		for _, p := range []Report{
			{PushID: id, Result: Failed},
			{PushID: "never", Result: Gone},
			{AOR: "sip:nobody@example.com", Result: Gone},
			{AOR: alice, Binding: usrloc.BindingID{1}, Result: Gone},
			{AOR: alice, Binding: r.bindings()[1].ID, Result: Gone},
		} {
			if err := r.waker.Report(t.Context(), p); !errors.Is(err, ErrUnknown) {
				t.Errorf("Report(%+v) = %v", p, err)
			}
		}
		if len(*told) != 1 || len(r.prids()) != 2 || r.prids()[0] != "a" {
			t.Errorf("told %v, tokens %v", *told, r.prids())
		}
	})
}

func TestTakenPushes_AreBounded(t *testing.T) {
	now := time.Now()
	var p takenPushes
	for n := range maxTaken + 100 {
		p.add(&takenPush{aor: usrloc.AOR(fmt.Sprint(n % 50)), request: &push.Request{PushID: fmt.Sprint(n), Deadline: now.Add(time.Minute)}}, now)
	}
	if p.len() != maxTaken || len(p.byID) != maxTaken || p.find("99", now) != nil || p.find("100", now) == nil {
		t.Errorf("%d in the queue, %d by identifier", p.len(), len(p.byID))
	}
	later := now.Add(2 * time.Minute)
	p.add(&takenPush{aor: "x", request: &push.Request{PushID: "x", Deadline: later.Add(time.Minute)}}, later)
	if p.len() != 1 || len(p.byID) != 1 || len(p.byAOR) != 1 {
		t.Errorf("%d are left, for %d users", p.len(), len(p.byAOR))
	}
}

// A refresh may wait for its phone for hours. Calls that came after it are forgotten
// in their time: with each goes all that waited for it.
func TestTakenPushes_RefreshKeepsNoCalls(t *testing.T) {
	now := time.Now()
	var p takenPushes
	add := func(id string, kind push.Kind, lasts time.Duration) {
		p.add(&takenPush{aor: "alice", request: &push.Request{PushID: id, Kind: kind, Deadline: now.Add(lasts)}, done: func(push.Outcome) {}}, now)
	}
	add("refresh", push.Refresh, time.Hour)
	if r := p.find("refresh", now); r == nil || r.done != nil {
		t.Errorf("a refresh is kept as %+v; nobody waits for it", r)
	}
	for n := range 100 {
		add(fmt.Sprint(n), push.Call, 25*time.Second)
		now = now.Add(10 * time.Second)
	}
	if p.len() > 5 || len(p.byID) != p.len() || len(p.byAOR["alice"]) != p.len() || p.find("refresh", now) == nil {
		t.Errorf("%d pushes are kept, %d by identifier, %d of alice", p.len(), len(p.byID), len(p.byAOR["alice"]))
	}
	now = now.Add(time.Hour)
	add("last", push.Refresh, time.Minute)
	add("last call", push.Call, time.Minute)
	if p.len() != 2 || len(p.byID) != 2 || len(p.byAOR["alice"]) != 2 {
		t.Errorf("%d pushes are left", p.len())
	}
}
