package wake

import (
	"crypto/rand"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"reveille/push"
	"reveille/usrloc"
)

func TestHabit_Learns(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	var h habit
	h.woke(2*time.Second, now)
	if got := h.habit(); got.Average != 2*time.Second || got.Spread != time.Second || got.Wakes != 1 || !got.LastWake.Equal(now) {
		t.Errorf("after one wake: %+v", got)
	}
	for range 60 {
		now = now.Add(time.Minute)
		h.woke(4*time.Second, now)
		h.woke(time.Second, now.Add(time.Second)) // Another call that waited for the same push.
	}
	if got := h.habit(); got.Average < 3900*time.Millisecond || got.Average > 4*time.Second || got.Wakes != 61 || got.Spread > 200*time.Millisecond {
		t.Errorf("after sixty longer ones: %+v", got)
	}
	before := now.Add(-time.Hour)
	h.slept(before, now)
	h.slept(before, now.Add(5*time.Second)) // Another call that waited for the same push.
	h.slept(before, now.Add(time.Minute))
	if got := h.habit(); got.Failures != 2 || got.InRow != 2 || !got.FailingSince.Equal(now) {
		t.Errorf("after two failures: %+v", got)
	}
	h.woke(4*time.Second, now)
	if got := h.habit(); got.InRow != 0 || !got.FailingSince.IsZero() || got.Failures != 2 {
		t.Errorf("after it woke again: %+v", got)
	}
}

// A phone that comes by itself between two failures has not failed for so long.
func TestHabit_ARowBeginsAnewWithARegister(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	var h habit
	h.slept(now.Add(-time.Hour), now)
	later := now.Add(24 * time.Hour)
	h.slept(now.Add(time.Hour), later)
	if got := h.habit(); got.InRow != 1 || !got.FailingSince.Equal(later) || got.Failures != 2 {
		t.Errorf("%+v, want a row of one that began at %s", got, later)
	}
}

// Of a dormant device it is learned from the pushes that nobody waits for, too.
func TestWaker_LearnsOfDormantDevices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		b := r.bind(time.Now(), fcm(secret))[0]
		wake := func(o push.Outcome) {
			t.Helper()
			if _, _, err := r.waker.Wake(alice, &b, Cause{Kind: push.Refresh}, func(push.Outcome) {}); err != nil {
				t.Fatal(err)
			}
			r.done[len(r.done)-1](o)
		}
		failures := func(want int) {
			t.Helper()
			if h, _ := r.waker.Habit(b.ID); h.Failures != want {
				t.Errorf("%d failures, want %d", h.Failures, want)
			}
		}
		ok := push.Outcome{Class: push.OK}
		wake(ok) // It is still registered: a refresh.
		time.Sleep(12 * time.Hour)
		wake(ok)
		failures(0)
		time.Sleep(12 * time.Hour)
		wake(push.Outcome{Class: push.Unavailable})
		failures(1)
		time.Sleep(12 * time.Hour)
		wake(ok) // The last one was not taken.
		failures(1)
		b.Updated, b.Expires = time.Now().Add(time.Second), time.Now().Add(time.Minute)
		time.Sleep(12 * time.Hour)
		wake(ok) // It came, and ended again.
		failures(1)
	})
}

func TestHabit_Patience(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	l := Learning{Failures: 3, After: 48 * time.Hour, Least: 5 * time.Second}
	days := func(n int) time.Time { return now.Add(-time.Duration(n) * 24 * time.Hour) }
	slow := habit{average: 6000, spread: 500, inRow: 3, failingSince: seconds(days(3))}
	tests := []struct {
		name    string
		habit   habit
		policy  Learning
		wait    time.Duration
		updated time.Time
		want    time.Duration
	}{
		{"nothing known", habit{}, l, 25 * time.Second, days(9), 25 * time.Second},
		{"it wakes", habit{average: 1000, wakes: 9}, l, 25 * time.Second, days(9), 25 * time.Second},
		{"failing for days: what its wakes took", slow, l, 25 * time.Second, days(9), 8 * time.Second},
		{"never woke", habit{inRow: 3, failingSince: seconds(days(3))}, l, 25 * time.Second, days(9), 5 * time.Second},
		{"never longer than others", habit{average: 60_000, inRow: 3, failingSince: seconds(days(3))}, l, 25 * time.Second, days(9), 25 * time.Second},
		{"too few failures", habit{inRow: 2, failingSince: seconds(days(3))}, l, 25 * time.Second, days(9), 25 * time.Second},
		{"not for long enough", habit{inRow: 9, failingSince: seconds(days(1))}, l, 25 * time.Second, days(9), 25 * time.Second},
		{"it has registered since", slow, l, 25 * time.Second, days(2), 25 * time.Second},
		{"switched off", slow, Learning{}, 25 * time.Second, days(9), 25 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.habit.patience(tt.policy, tt.wait, tt.updated, now); got != tt.want {
				t.Errorf("patience = %v, want %v", got, tt.want)
			}
		})
	}
}

func TestWaker_LearnsOfEachDevice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		bs := r.bind(time.Now(), fcm(secret), fcm("other"))
		r.waker.Set(Settings{Learning: Learning{Failures: 2, After: time.Hour, Least: 5 * time.Second}})
		if _, ok := r.waker.Habit(bs[0].ID); ok {
			t.Error("something is known of a device that was never pushed to")
		}
		r.waker.Woke(bs[0].ID, 300*time.Millisecond)
		for range 2 {
			time.Sleep(time.Hour)
			r.waker.Slept(&bs[0])
		}
		time.Sleep(time.Hour)
		if got := r.waker.Patience(&bs[0], time.Minute); got != 5*time.Second {
			t.Errorf("Patience = %v, want 5s", got)
		}
		if got := r.waker.Patience(&bs[1], time.Minute); got != time.Minute {
			t.Errorf("Patience of another device = %v, want a minute", got)
		}
		if h, ok := r.waker.Habit(bs[0].ID); !ok || h.Wakes != 1 || h.Failures != 2 {
			t.Errorf("Habit = %+v, %t", h, ok)
		}
	})
}

func TestTable_IsBounded(t *testing.T) {
	table, now := newTable[int](tableShards*4), time.Unix(1_800_000_000, 0)
	often, err := usrloc.NewBindingID(alice, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 10_000 {
		id, err := usrloc.NewBindingID(alice, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		at := now.Add(time.Duration(i) * time.Second)
		table.change(id, at, func(n *int) { *n = 1 })
		table.change(often, at, func(n *int) { *n++ })
	}
	if n := table.len(); n > tableShards*4 {
		t.Errorf("%d devices, want at most %d", n, tableShards*4)
	}
	if n, known := table.get(often); !known || n != 10_000 {
		t.Errorf("the device that is used all the time: %d, %t", n, known)
	}
}

func TestWake_RefreshesPerHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		bs := r.bind(time.Now(), fcm(secret), fcm("other"))
		r.waker.Set(Settings{RefreshesPerHour: 3})
		wake := func(b *usrloc.Binding, k push.Kind) error {
			_, _, err := r.waker.Wake(alice, b, Cause{Kind: k}, func(push.Outcome) {})
			return err
		}
		for range 3 {
			if err := wake(&bs[0], push.Refresh); err != nil {
				t.Fatal(err)
			}
		}
		if err := wake(&bs[0], push.Refresh); !errors.Is(err, ErrTooOften) {
			t.Errorf("the fourth: %v, want ErrTooOften", err)
		}
		if err := wake(&bs[1], push.Refresh); err != nil {
			t.Errorf("another device: %v", err)
		}
		// Whoever waits for the device is not bounded.
		if err := wake(&bs[0], push.Call); err != nil {
			t.Errorf("a call: %v", err)
		}
		time.Sleep(time.Hour)
		if err := wake(&bs[0], push.Refresh); err != nil {
			t.Errorf("an hour later: %v", err)
		}
	})
}

func TestMetrics_AreRegistered(t *testing.T) {
	registry := prometheus.NewRegistry()
	w := New(Options{Registerer: registry})
	w.Woke(usrloc.BindingID{1}, time.Second)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "reveille_wake_devices" && f.Metric[0].Gauge.GetValue() != 1 {
			t.Errorf("reveille_wake_devices = %v, want 1", f.Metric[0].Gauge.GetValue())
		}
	}
}
