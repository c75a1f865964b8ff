package registrar

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"reveille/push"
	"reveille/usrloc"
)

// lagging is a Store that hands out one timer; meanwhile the binding changed to
// what Watch returns.
type lagging struct {
	usrloc.Store
	due      []usrloc.Due
	bindings []usrloc.Binding
	next     []time.Time // of each Done
	watching int
}

func (l *lagging) Claim(context.Context, time.Time, int) ([]usrloc.Due, error) {
	due := l.due
	l.due = nil
	return due, nil
}

func (l *lagging) Watch(context.Context, usrloc.AOR, time.Time, func(usrloc.Change)) (usrloc.Record, func(), error) {
	l.watching++
	return usrloc.Record{AOR: alice, Bindings: l.bindings}, func() { l.watching-- }, nil
}

func (l *lagging) Done(_ usrloc.Due, next time.Time) { l.next = append(l.next, next) }

func TestRefresher_StaleTimer(t *testing.T) {
	id := usrloc.BindingID{15: 1}
	tests := []struct {
		name   string
		change func(b *usrloc.Binding, now time.Time)
		gone   bool
		pushed bool
		next   time.Duration // from now; 0: never again
	}{
		{name: "as it was", change: func(*usrloc.Binding, time.Time) {}, pushed: true, next: 5 * time.Second},
		{name: "gone", gone: true},
		{name: "expired", change: func(b *usrloc.Binding, now time.Time) { b.Expires = now }},
		{name: "not to be refreshed any more", change: func(b *usrloc.Binding, _ time.Time) { b.RefreshAt = time.Time{} }},
		{name: "without token", change: func(b *usrloc.Binding, _ time.Time) { b.Push.PRID = "" }},
		{
			name: "refreshed in the meantime", next: time.Minute,
			change: func(b *usrloc.Binding, now time.Time) { b.RefreshAt = now.Add(time.Minute) },
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				now := time.Now()
				store := &lagging{due: []usrloc.Due{{Kind: usrloc.DueRefresh, AOR: alice, ID: id, At: now}}}
				if !tt.gone {
					b := usrloc.Binding{
						ID: id, RefreshAt: now, Expires: now.Add(2 * time.Minute),
						Push: usrloc.Push{Provider: "fcm", Param: "p", PRID: "tok"},
					}
					tt.change(&b, now)
					store.bindings = []usrloc.Binding{b}
				}
				service := &pushService{start: now, outcome: push.Outcome{Class: push.OK}, takes: time.Millisecond}
				r, err := NewRefresher(RefresherOptions{Store: store, Push: service})
				if err != nil {
					t.Fatal(err)
				}
				r.refresh(t.Context(), store.due[0])
				synctest.Wait()
				time.Sleep(time.Second)
				synctest.Wait()
				if pushed := len(service.at) == 1; pushed != tt.pushed {
					t.Errorf("pushed %v, want %v", pushed, tt.pushed)
				}
				if len(store.next) != 1 || store.next[0].IsZero() != (tt.next == 0) {
					t.Fatalf("timer set to %v", store.next)
				}
				if got := store.next[0].Sub(now); tt.next != 0 && (got < tt.next || got > tt.next*11/10+1) {
					t.Errorf("due again after %v, want %v", got, tt.next)
				}
				if store.watching != 0 || len(r.live) != 0 {
					t.Errorf("%d watches and %d attempts left", store.watching, len(r.live))
				}
			})
		})
	}
}

func TestRefresher_WatchEndsWithTheStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		due := usrloc.Due{Kind: usrloc.DueRefresh, AOR: alice, ID: usrloc.BindingID{15: 1}, At: now}
		store := &lagging{bindings: []usrloc.Binding{{
			ID: due.ID, RefreshAt: now, Expires: now.Add(2 * time.Minute), Push: usrloc.Push{Provider: "fcm", Param: "p", PRID: "tok"},
		}}}
		service := &pushService{start: now} // never answers
		r, err := NewRefresher(RefresherOptions{Store: store, Push: service})
		if err != nil {
			t.Fatal(err)
		}
		r.refresh(t.Context(), due)
		if store.watching != 1 {
			t.Fatalf("%d watches, want 1", store.watching)
		}
		r.cancelAll()
		synctest.Wait()
		if store.watching != 0 || service.cancelled != 1 {
			t.Errorf("%d watches, %d pushes cancelled", store.watching, service.cancelled)
		}
	})
}
