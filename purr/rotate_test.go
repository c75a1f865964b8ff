package purr

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

const day = 24 * time.Hour

func TestNext(t *testing.T) {
	key := func(id uint16, created time.Time) Key {
		return Key{ID: id, Secret: [32]byte{1}, Created: created}
	}
	s := Schedule{Every: day, Retain: 3 * day}
	for _, tt := range []struct {
		name    string
		keys    []Key
		now     time.Time
		want    []uint16 // the ids of the old keys that are kept
		fresh   bool     // a new key in front
		changed bool
	}{
		{"none", nil, day0, nil, true, true},
		{"young", []Key{key(1, day0)}, day0.Add(day - 1), []uint16{1}, false, false},
		{"due", []Key{key(1, day0)}, day0.Add(day), []uint16{1}, true, true},
		// Key 1 sealed until key 2 was made.
		{"retained", []Key{key(2, day0), key(1, day0.Add(-day))}, day0.Add(3*day - 1), []uint16{2, 1}, true, true},
		{"dropped", []Key{key(2, day0), key(1, day0.Add(-day))}, day0.Add(3 * day), []uint16{2}, true, true},
		{"several dropped", []Key{key(3, day0), key(2, day0.Add(-day)), key(1, day0.Add(-2*day))}, day0.Add(9 * day), []uint16{3}, true, true},
		// After a long stop the last key sealed until now.
		{"long stop", []Key{key(1, day0)}, day0.Add(100 * day), []uint16{1}, true, true},
		{"from the future", []Key{key(1, day0.Add(day))}, day0, []uint16{1}, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := slices.Clone(tt.keys)
			next, changed := s.Next(tt.keys, tt.now)
			if changed != tt.changed {
				t.Errorf("changed = %v, want %v", changed, tt.changed)
			}
			if tt.fresh {
				if !next[0].Created.Equal(tt.now.Truncate(time.Second)) {
					t.Fatalf("newest key is of %v, want %v", next[0].Created, tt.now)
				}
				next = next[1:]
			}
			var ids []uint16
			for _, k := range next {
				ids = append(ids, k.ID)
			}
			if !slices.Equal(ids, tt.want) {
				t.Errorf("kept %v, want %v", ids, tt.want)
			}
			if !slices.Equal(before, tt.keys) {
				t.Error("the argument was changed")
			}
		})
	}
}

func TestNext_BoundedByMaxKeys(t *testing.T) {
	s := Schedule{Every: time.Second, Retain: 100 * 365 * day}
	keys := []Key{NewKey(day0)}
	for i := range MaxKeys + 10 {
		keys, _ = s.Next(keys, day0.Add(time.Duration(i+1)*time.Second))
	}
	if len(keys) != MaxKeys {
		t.Errorf("%d keys, want %d", len(keys), MaxKeys)
	}
	if _, err := New(keys); err != nil {
		t.Errorf("New() = %v", err)
	}
}

func TestRun_DailyForTwoMonths(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ring := Generate(time.Now())
		var saved []Key
		save := func(keys []Key) error {
			// Durable first: the ring must not seal with the new key yet.
			if ring.Keys()[0] == keys[0] {
				t.Error("the new key seals before it is saved")
			}
			saved = slices.Clone(keys)
			return nil
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- Schedule{}.Run(ctx, ring, save, nil) }()

		token := ring.Mint(testID(1))
		time.Sleep(DefaultRetain + DefaultEvery - time.Hour)
		synctest.Wait()
		if id, err := ring.Open(token); err != nil || id != testID(1) {
			t.Errorf("a token within its retention: Open() = %v, %v", id, err)
		}
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if _, err := ring.Open(token); !errors.Is(err, ErrUnknownKey) {
			t.Errorf("a token after its retention: Open() = %v, want ErrUnknownKey", err)
		}
		// A key for each day of retention and the one that seals.
		if n := len(ring.Keys()); n != 38 {
			t.Errorf("%d keys after two months, want 38", n)
		}
		if !slices.Equal(saved, ring.Keys()) {
			t.Error("the saved keys are not those of the ring")
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Run() = %v", err)
		}
	})
}

func TestRun_SaveFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ring := Generate(time.Now())
		before := ring.Keys()
		var full atomic.Bool
		var tries atomic.Int32
		full.Store(true)
		save := func([]Key) error {
			if tries.Add(1); full.Load() {
				return errors.New("disk full")
			}
			return nil
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- Schedule{}.Run(ctx, ring, save, nil) }()
		time.Sleep(DefaultEvery + 10*retryAfter + time.Second)
		synctest.Wait()
		if !slices.Equal(before, ring.Keys()) {
			t.Error("the ring seals with a key that was not saved")
		}
		if n := tries.Load(); n != 11 {
			t.Errorf("%d tries in ten minutes, want 11", n)
		}
		full.Store(false)
		time.Sleep(retryAfter)
		synctest.Wait()
		if len(ring.Keys()) != 2 {
			t.Errorf("%d keys after the disk had room, want 2", len(ring.Keys()))
		}
		cancel()
		<-done
	})
}

func TestRun_NoRing(t *testing.T) {
	if err := (Schedule{}).Run(t.Context(), nil, nil, nil); err == nil {
		t.Error("Run() without a keyring = nil")
	}
}
