package purr

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"
)

// Defaults of a Schedule.
const (
	// DefaultEvery keeps a key below 2^32 tokens (see the package comment).
	DefaultEvery = 24 * time.Hour
	// DefaultRetain is the longest registration (30 days), whose phone may show
	// the PURR of its last 200 up to the end, and a week for the dialog that
	// began then (RFC 8599 §6.2: old PURRs stay resolvable).
	DefaultRetain = 37 * 24 * time.Hour
)

// A Schedule says when keys are made and dropped.
type Schedule struct {
	// Every is the age at which the newest key gets a successor; 0 means
	// DefaultEvery.
	Every time.Duration
	// Retain is how long a key opens tokens after it sealed its last one; 0
	// means DefaultRetain.
	Retain time.Duration
}

func (s Schedule) every() time.Duration {
	if s.Every > 0 {
		return s.Every
	}
	return DefaultEvery
}

func (s Schedule) retain() time.Duration {
	if s.Retain > 0 {
		return s.Retain
	}
	return DefaultRetain
}

// Due returns when the newest of keys gets a successor. No keys are due always.
func (s Schedule) Due(keys []Key) time.Time {
	if len(keys) == 0 {
		return time.Time{}
	}
	newest := slices.MaxFunc(keys, func(a, b Key) int { return a.Created.Compare(b.Created) })
	return newest.Created.Add(s.every())
}

// Next returns the keys that a ring holds at now: with a new one if that is
// due, without those whose time is over. changed is false if they are the same
// as before.
func (s Schedule) Next(keys []Key, now time.Time) (next []Key, changed bool) {
	next = slices.Clone(keys)
	slices.SortStableFunc(next, func(a, b Key) int { return b.Created.Compare(a.Created) })
	if !now.Before(s.Due(next)) {
		next = slices.Insert(next, 0, newKeyBeside(next, now))
	}
	// A key seals until its successor is made.
	for i := len(next) - 1; i > 0; i-- {
		if now.Sub(next[i-1].Created) < s.retain() {
			break
		}
		next = next[:i]
	}
	if len(next) > MaxKeys {
		next = next[:MaxKeys]
	}
	return next, !slices.Equal(next, keys)
}

// newKeyBeside draws a key whose id none of keys has. There are far fewer keys
// than ids, so this ends soon.
func newKeyBeside(keys []Key, now time.Time) Key {
	for {
		k := NewKey(now)
		if !slices.ContainsFunc(keys, func(old Key) bool { return old.ID == k.ID }) {
			return k
		}
	}
}

// retryAfter is the pause after a rotation that did not succeed. The old key
// goes on sealing meanwhile.
const retryAfter = time.Minute

// maxSleep bounds one wait of Run, so that a clock that was set, or a machine
// that slept, delays a rotation by no more.
const maxSleep = time.Hour

// Run rotates the keys of ring by the schedule until ctx ends, and then returns
// ctx's error. save, if not nil, makes the keys durable before the first token
// is sealed with the new one: a token that was handed out must open after a
// crash. If save returns an error, Run logs it, keeps the old keys and tries
// again. Of nodes that share a keyring exactly one runs a Schedule; its
// save hands the keys to the others, which take them over with Replace, and
// returns when they have.
func (s Schedule) Run(ctx context.Context, ring *Keyring, save func([]Key) error, log *slog.Logger) error {
	if ring == nil {
		return errors.New("purr: rotate: no keyring")
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	for {
		pause := s.step(ctx, ring, save, log)
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}

// step rotates if it is time and returns how long to wait for the next look.
func (s Schedule) step(ctx context.Context, ring *Keyring, save func([]Key) error, log *slog.Logger) time.Duration {
	now := time.Now()
	keys, changed := s.Next(ring.Keys(), now)
	if changed {
		if err := rotate(ring, keys, save); err != nil {
			log.LogAttrs(ctx, slog.LevelError, "token key not rotated, the old one goes on sealing", slog.Any("err", err))
			return retryAfter
		}
		log.LogAttrs(ctx, slog.LevelInfo, "token keys rotated", slog.String("newest", keys[0].String()), slog.Int("keys", len(keys)))
	}
	return min(max(s.Due(keys).Sub(now), time.Second), maxSleep)
}

func rotate(ring *Keyring, keys []Key, save func([]Key) error) error {
	if save != nil {
		if err := save(keys); err != nil {
			return err
		}
	}
	return ring.Replace(keys)
}
