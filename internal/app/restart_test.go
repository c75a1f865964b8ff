package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"reveille/flow"
	"reveille/internal/event"
	"reveille/push/pushsim"
	"reveille/usrloc"
	"reveille/usrloc/disk"
	"reveille/usrloc/usrloctest"
)

// killed returns a copy of the folder of a store that is open: what kill -9
// leaves behind.
func killed(t *testing.T, dir string) string {
	t.Helper()
	left := filepath.Join(t.TempDir(), "store")
	if err := os.CopyFS(BindingsDir(left), os.DirFS(BindingsDir(dir))); err != nil {
		t.Fatal(err)
	}
	keys, err := os.ReadFile(filepath.Join(dir, keysFile))
	if err == nil {
		err = os.WriteFile(filepath.Join(left, keysFile), keys, 0o600)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return left
}

// storeYAML is the configuration of a store in dir.
func storeYAML(dir string) string { return "store: {dir: " + dir + ", durability: write}" }

// seed makes a store of the given bindings in a new folder and returns what a
// process leaves that is killed then.
func seed(t *testing.T, bindings map[usrloc.AOR]usrloc.Binding) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "store")
	s, err := disk.Open(disk.Options{Dir: BindingsDir(dir), Mode: disk.Write, MinFree: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	done := make(chan error, len(bindings))
	for aor, b := range bindings {
		s.Update(t.Context(), aor, usrloctest.Put(b), func(_ usrloc.Record, _ []usrloc.Change, err error) { done <- err })
	}
	for range bindings {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	return killed(t, dir)
}

// sleeping is the binding of a phone that can be woken with token.
func sleeping(aor usrloc.AOR, token string, now time.Time) usrloc.Binding {
	b := usrloctest.Binding(aor, 1, now.Truncate(time.Millisecond))
	b.Push = usrloc.Push{Provider: "fcm", Param: pushsim.ProjectID, PRID: token}
	b.Contact = "sip:phone@192.0.2.1:5060;pn-provider=fcm;pn-param=" + pushsim.ProjectID + ";pn-prid=" + token
	b.Flow.Transport, b.Flow.Listener = flow.UDP, "udp"
	return b
}

// TestRestart_BacklogOfRefreshes: many refreshes fell due while the server was
// down. Each device is woken once. At which rate is a matter of the refresher
// (TestRefresher_BacklogIsSmeared).
func TestRestart_BacklogOfRefreshes(t *testing.T) {
	t.Parallel()
	const n = 150 // more than the refresher takes at a time
	now := time.Now()
	all := make(map[usrloc.AOR]usrloc.Binding)
	for i := range n {
		aor := usrloctest.AOR(i)
		b := sleeping(aor, fmt.Sprintf("token-%d", i), now.Add(-time.Hour))
		b.RefreshAt, b.Expires, b.RetainUntil = now.Add(-time.Minute), now.Add(time.Hour), now.Add(time.Hour)
		all[aor] = b
	}
	r := newRig(t, storeYAML(seed(t, all)), "push: {refresh: {retries: 0}, apps: @apps}")
	r.eventually("every device is woken", func() bool {
		woken := make(map[string]bool)
		for _, p := range r.sim.Pushes() {
			if p.Status != 200 {
				continue // It took so long that it was given up half way, and sent again.
			}
			if p.Kind != "refresh" {
				t.Fatalf("push %+v, want a refresh", p)
			}
			woken[p.Token] = true
		}
		return len(woken) == n
	})
	r.events.mu.Lock()
	defer r.events.mu.Unlock()
	due := make(map[string]int)
	for _, x := range r.events.all {
		if e, ok := x.(event.RefreshDue); ok {
			due[e.AOR]++
		}
	}
	for aor := range all {
		if got := due[string(aor)]; got != 1 {
			t.Errorf("%s was due %d times, want once", aor, got)
		}
	}
}

// TestRestart_TimersAreBack: a device that was registered before the server was
// killed is woken when its time has come, not before, and forgotten when its binding
// has ended. However long the start takes, the others are there.
func TestRestart_TimersAreBack(t *testing.T) {
	t.Parallel()
	now := time.Now()
	at := func(aor usrloc.AOR, token string, refresh, end time.Duration) usrloc.Binding {
		b := sleeping(aor, token, now)
		b.RefreshAt, b.Expires = now.Add(refresh), now.Add(end)
		b.RetainUntil = b.Expires
		return b
	}
	alice, bob, carol := usrloctest.AOR(1), usrloctest.AOR(2), usrloctest.AOR(3)
	soon, ends := at(alice, "soon", 4*time.Second, time.Hour), at(bob, "ends", 3*time.Second, 4*time.Second)
	r := newRig(t, storeYAML(seed(t, map[usrloc.AOR]usrloc.Binding{
		alice: soon, bob: ends, carol: at(carol, "later", time.Hour, 2*time.Hour),
	})))
	r.eventually("the device is woken", func() bool { return r.pushes("soon") > 0 })
	for _, p := range r.sim.Pushes() {
		if p.Token == "soon" && p.Status == 200 && (p.Time.Before(soon.RefreshAt.Truncate(time.Millisecond)) || p.Kind != "refresh") {
			t.Errorf("push %+v, want a refresh at %v or later", p, soon.RefreshAt)
		}
	}
	r.eventually("the binding is removed", func() bool {
		rec, err := r.Store().Get(t.Context(), bob)
		return err == nil && len(rec.Bindings) == 0
	})
	if now := time.Now(); now.Before(ends.Expires.Truncate(time.Millisecond)) {
		t.Errorf("the binding was removed %v before it expired", ends.Expires.Sub(now))
	}
	for aor, want := range map[usrloc.AOR]int{alice: 1, bob: 0, carol: 1} {
		if rec, err := r.Store().Get(t.Context(), aor); err != nil || len(rec.Bindings) != want {
			t.Errorf("%s has %d bindings after all, %v; want %d", aor, len(rec.Bindings), err, want)
		}
	}
	if n := r.pushes("later"); n != 0 {
		t.Errorf("%d pushes an hour before they are due", n)
	}
}

// TestRestart_KeysAndBindingsSurviveAKill: the PURR that a phone was given is
// still the way to it, and a call wakes it.
func TestRestart_KeysAndBindingsSurviveAKill(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "store")
	first := newRig(t, storeYAML(dir))
	first.sleeper("alice", "udp", "token-of-alice")
	const aor = usrloc.AOR("sip:alice@example.com")
	before, err := first.Store().Get(t.Context(), aor)
	if err != nil || len(before.Bindings) != 1 {
		t.Fatalf("%d bindings, %v; want one", len(before.Bindings), err)
	}
	purr := first.keys.Mint(before.Bindings[0].ID)

	r := newRig(t, storeYAML(killed(t, dir)))
	id, err := r.keys.Open(purr)
	if err != nil || id != before.Bindings[0].ID {
		t.Fatalf("the PURR of before opens as %v, %v; want %v", id, err, before.Bindings[0].ID)
	}
	if got, err := r.Store().Resolve(t.Context(), id); got != aor || err != nil {
		t.Errorf("the PURR leads to %q, %v; want %s", got, err, aor)
	}
	after, err := r.Store().Get(t.Context(), aor)
	if err != nil || len(after.Bindings) != 1 || after.Version <= before.Version {
		t.Errorf("%d bindings at version %d, %v; want one above version %d", len(after.Bindings), after.Version, err, before.Version)
	}
	bob := r.phone("bob", "tcp", "")
	r.register(bob)
	ctx, cancel := context.WithCancel(t.Context())
	called := make(chan struct{})
	go func() {
		defer close(called)
		if _, err := bob.Call(ctx, string(aor)); err == nil {
			t.Error("a phone that is no more answered")
		}
	}()
	r.eventually("the call wakes the phone", func() bool { return r.pushes("token-of-alice") > 0 })
	cancel()
	<-called
}
