package app

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"reveille/usrloc"
	"reveille/usrloc/disk"
)

// A phone registered, the server was restarted, the phone is still known: with
// its way to be woken, its timers, and the PURR that it was given.
func TestApp_RegistrationsSurviveARestart(t *testing.T) {
	for _, durability := range []string{"fsync", "write"} {
		t.Run(durability, func(t *testing.T) {
			t.Parallel()
			storeYAML := "store: {dir: " + filepath.Join(t.TempDir(), "store") + ", durability: " + durability + "}"
			r := newRig(t, storeYAML)
			r.sleeper("alice", "udp", "token-of-alice")
			const aor = usrloc.AOR("sip:alice@example.com")
			before, err := r.Store().Get(t.Context(), aor)
			if err != nil || len(before.Bindings) != 1 {
				t.Fatalf("%d bindings, %v; want one", len(before.Bindings), err)
			}
			purr := r.keys.Mint(before.Bindings[0].ID)

			if _, err := New(Options{Config: r.config(storeYAML)}); !errors.Is(err, disk.ErrLocked) {
				t.Errorf("a second server on the same folder: %v, want ErrLocked", err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			if err := r.Stop(ctx); err != nil {
				t.Fatal(err)
			}

			again, err := New(Options{Config: r.config(storeYAML)})
			if err != nil {
				t.Fatal(err)
			}
			defer again.Stop(ctx)
			after, err := again.Store().Get(t.Context(), aor)
			if err != nil || len(after.Bindings) != 1 {
				t.Fatalf("%d bindings after the restart, %v; want one", len(after.Bindings), err)
			}
			a, b := before.Bindings[0], after.Bindings[0]
			if a.ID != b.ID || a.Contact != b.Contact || a.Push != b.Push || a.Flow != b.Flow || !a.Expires.Equal(b.Expires) || !a.RefreshAt.Equal(b.RefreshAt) {
				t.Errorf("the binding was %+v and is %+v", a, b)
			}
			if id, err := again.keys.Open(purr); err != nil || id != b.ID {
				t.Errorf("PURR of before the restart: %v, %v", id, err)
			}
			due, err := again.Store().Claim(t.Context(), b.RefreshAt.Add(time.Second), 10)
			if err != nil || len(due) != 1 || due[0].ID != b.ID {
				t.Errorf("due after the restart: %v, %v; want the refresh of that binding", due, err)
			}
		})
	}
}
