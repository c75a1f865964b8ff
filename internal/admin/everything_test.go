package admin

import (
	"context"
	"net/netip"
	"testing"
	"time"
)

// at is the time of all examples.
func at() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }

// everything are all calls there are, of a server that has a little of everything.
func everything(t *testing.T) Calls {
	t.Helper()
	return Calls{
		Reload: func(context.Context) (Reloaded, error) {
			return Reloaded{Changed: []string{"domains"}, Restart: []string{}}, nil
		},
		Backup: func(context.Context, string) error { return nil },
		Bans: &Bans{
			List: func() []Ban { return []Ban{{Source: "192.0.2.7", Reason: "scanner", Until: at()}} },
			Lift: func(a netip.Addr) bool { return a == netip.MustParseAddr("192.0.2.7") },
		},
		Events: &Events{Subscribe: newFeed(t, 10).Subscribe, Woken: func(_ context.Context, r WakeReport) error {
			if r.PushID != "1" {
				return ErrUnknown
			}
			return nil
		}},
		Pushes: &Pushes{
			Test: func(_ context.Context, p PushTest) ([]PushResult, error) {
				if p.AOR == "nobody" {
					return nil, ErrNoPhone
				}
				return []PushResult{{AOR: "sip:alice@example.com", Provider: "fcm", Kind: p.Kind, Class: "ok", Said: "It went through."}}, nil
			},
			Wake: func(_ context.Context, o WakeOrder) ([]WakeResult, error) {
				if o.AOR == "nobody" {
					return nil, ErrNoPhone
				}
				return []WakeResult{{PushResult: PushResult{Provider: "fcm", Kind: o.Kind, Class: "ok", Said: "It went through."}, Registered: true}}, nil
			},
			Lanes: func() []Lane { return []Lane{{App: "phone", Provider: "fcm", Limit: 4, LastOK: at()}} },
		},
		Messages: &Messages{List: func() []MessageUser {
			return []MessageUser{{User: "sip:alice@example.com", Messages: 1, Bytes: 100, Oldest: at(), Until: at()}}
		}},
		Trace:    newTraceRig(t).trace(),
		Timeline: someTimeline(),
		Contacts: first(newBook(t)),
		Self: &Self{
			Status: func(context.Context) (Status, error) {
				return Status{
					Version: "v1", Node: 1, Started: at(), Ready: true, Registrations: Registrations{Users: 1, Bindings: 2, Wakeable: 1, Counted: &Counted{Awake: 1, At: at()}},
					Store: StoreStatus{Durability: "fsync"}, Config: ConfigStatus{Generation: 1, Loaded: at()},
				}, nil
			},
			Stats:  func() (Stats, error) { return Stats{MaxExpires: 3600}, nil },
			Config: func() (Configuration, error) { return Configuration{ConfigStatus{1, at()}, "node:\n  id: 1\n"}, nil },
			Flush:  func() error { return nil },
		},
	}
}

// first is the first of two.
func first[A, B any](a A, _ B) A { return a }
