package mailbox

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"reveille/internal/event"
	"reveille/usrloc"
)

const alice, bob = usrloc.AOR("sip:alice@example.com"), usrloc.AOR("sip:bob@example.com")

// A rig is a Box on a real location service, with a pretend carrier.
type rig struct {
	*Box
	t     *testing.T
	dir   string
	store *usrloc.Memory
	log   *bytes.Buffer

	mu      sync.Mutex
	answer  func(Message) (Outcome, bool) // false: no answer yet
	carried []string                      // as "user text"
	open    map[string]func(Outcome)
	events  []string
}

func (r *rig) Carry(m Message, done func(Outcome)) {
	r.mu.Lock()
	text := name(m)
	r.carried = append(r.carried, text)
	o, now := r.answer(m)
	if !now {
		r.open[text] = done
	}
	r.mu.Unlock()
	if now {
		done(o)
	}
}

func name(m Message) string {
	return string(m.AOR[4:strings.IndexByte(string(m.AOR), '@')]) + " " + string(m.Request)
}

func (*rig) Behind(_ string, fn func()) { fn() }

func (r *rig) Emit(e event.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e.Type()+" "+e.(event.Message).CallID)
}

func limits() Limits { return Limits{Bytes: 10_000, Users: 100, UserMessages: 5, UserBytes: 1000} }

func newRig(t *testing.T, dir string, o Options) *rig {
	t.Helper()
	r := &rig{t: t, dir: dir, store: usrloc.NewMemory(usrloc.MemoryOptions{MaxWatches: 10}), log: &bytes.Buffer{}, open: map[string]func(Outcome){}}
	r.answer = func(Message) (Outcome, bool) { return Outcome{Result: Delivered, Status: 200}, true }
	o.Dir, o.NoSync, o.Store, o.Sink, o.Logger, o.Registerer = dir, true, r.store, r, slog.New(slog.NewTextHandler(r.log, nil)), prometheus.NewRegistry()
	if o.Limits == (Limits{}) {
		o.Limits = limits()
	}
	box, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	r.Box = box
	return r
}

func (r *rig) end() {
	r.t.Helper()
	if err := r.Stop(r.t.Context()); err != nil {
		r.t.Error(err)
	}
	if err := r.store.Close(); err != nil {
		r.t.Error(err)
	}
}

// asleep has phones answer 480 to all.
func (r *rig) asleep() {
	r.set(func(Message) (Outcome, bool) { return Outcome{Status: 480}, true })
}

func (r *rig) awake() {
	r.set(func(Message) (Outcome, bool) { return Outcome{Result: Delivered, Status: 200}, true })
}

func (r *rig) set(answer func(Message) (Outcome, bool)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = answer
}

func message(aor usrloc.AOR, text string) Message {
	now := time.Now()
	return Message{AOR: aor, CallID: text, From: "sip:carol@example.com", Kept: now, Until: now.Add(24 * time.Hour), Request: []byte(text)}
}

// keep keeps messages and returns what became of the last.
func (r *rig) keep(aor usrloc.AOR, texts ...string) (ticket Ticket, err error) {
	r.t.Helper()
	for _, text := range texts {
		calls := 0
		r.Keep(message(aor, text), func(t Ticket, e error) {
			calls++
			ticket, err = t, e
		})
		synctest.Wait()
		if calls != 1 {
			r.t.Fatalf("done ran %d times", calls)
		}
	}
	return ticket, err
}

// register has a phone of aor register.
func (r *rig) register(aor usrloc.AOR) {
	r.t.Helper()
	id, err := usrloc.NewBindingID(aor, rand.Reader)
	if err != nil {
		r.t.Fatal(err)
	}
	now := time.Now()
	r.store.Update(r.t.Context(), aor, func(rec usrloc.Record) (usrloc.Record, error) {
		rec.Bindings = []usrloc.Binding{{ID: id, Contact: "sip:phone@192.0.2.1", CallID: "r", Created: now, Updated: now, Expires: now.Add(time.Hour), RetainUntil: now.Add(time.Hour)}}
		return rec, nil
	}, func(_ usrloc.Record, _ []usrloc.Change, err error) {
		if err != nil {
			r.t.Error(err)
		}
	})
	synctest.Wait()
}

// took checks what was carried since the last look.
func (r *rig) took(want ...string) {
	r.t.Helper()
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Equal(r.carried, want) {
		r.t.Errorf("carried %q, want %q", r.carried, want)
	}
	r.carried = nil
}

func (r *rig) waits(aor usrloc.AOR, want bool) {
	r.t.Helper()
	if got := r.Waiting(aor); got != want {
		r.t.Errorf("Waiting(%s) = %t, want %t", aor, got, want)
	}
}

func (r *rig) count(result string, want float64) {
	r.t.Helper()
	if got := testutil.ToFloat64(r.metrics.messages.WithLabelValues(result)); got != want {
		r.t.Errorf("%v messages %s, want %v", got, result, want)
	}
}

func TestBox_InOrderOnRegistration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, t.TempDir(), Options{})
		defer r.end()
		r.Start(r)
		r.asleep()
		for _, text := range []string{"1", "2", "3"} {
			if _, err := r.keep(alice, text); err != nil {
				t.Fatal(err)
			}
		}
		r.keep(bob, "4")
		r.took()
		r.awake()
		r.register(alice)
		r.took("alice 1", "alice 2", "alice 3")
		r.waits(alice, false)
		r.waits(bob, true)
		r.register(alice)
		r.took()
		want := "message.kept 1|message.kept 2|message.kept 3|message.kept 4|message.delivered 1|message.delivered 2|message.delivered 3"
		if got := strings.Join(r.events, "|"); got != want {
			t.Errorf("events %s, want %s", got, want)
		}
		r.count("kept", 4)
		r.count("delivered", 3)
	})
}

// One after the other: the next leaves when the one before it has its answer.
func TestBox_OneAtATime_RFC3428_8(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, t.TempDir(), Options{})
		defer r.end()
		r.Start(r)
		r.set(func(Message) (Outcome, bool) { return Outcome{}, false })
		r.keep(alice, "1", "2")
		r.register(alice)
		r.took("alice 1")
		r.register(alice)
		r.keep(alice, "3")
		r.Try(alice)
		r.took()
		r.open["alice 1"](Outcome{Result: Delivered, Status: 202})
		r.took("alice 2")
		r.open["alice 2"](Outcome{Result: Delivered, Status: 200})
		r.took("alice 3")
		r.open["alice 3"](Outcome{Result: Delivered, Status: 200})
		synctest.Wait()
		r.waits(alice, false)
	})
}

func TestBox_LaterStaysAndIsTriedAtTheNextRegistration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, t.TempDir(), Options{})
		defer r.end()
		r.Start(r)
		r.asleep()
		r.keep(alice, "1", "2")
		r.register(alice)
		r.took("alice 1")
		time.Sleep(time.Hour)
		r.took()
		r.register(alice)
		r.took("alice 1")
		// A registration during an attempt that fails: at once again, and once only.
		r.set(func(Message) (Outcome, bool) { return Outcome{}, false })
		r.register(alice)
		r.took("alice 1")
		r.register(alice)
		r.took()
		r.asleep()
		r.open["alice 1"](Outcome{Status: 480})
		r.took("alice 1")
		// One that the attempt knew of is no reason.
		r.set(func(Message) (Outcome, bool) { return Outcome{}, false })
		r.register(alice)
		r.took("alice 1")
		r.register(alice)
		r.open["alice 1"](Outcome{Status: 480, Version: 1 << 60})
		r.took()
	})
}

func TestBox_RefusedIsThrownAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, t.TempDir(), Options{})
		defer r.end()
		r.Start(r)
		r.keep(alice, "1", "2")
		r.set(func(m Message) (Outcome, bool) {
			if string(m.Request) == "1" {
				return Outcome{Result: Refused, Status: 415}, true
			}
			return Outcome{Result: Delivered, Status: 200}, true
		})
		r.register(alice)
		r.took("alice 1", "alice 2")
		r.waits(alice, false)
		r.count("refused", 1)
	})
}

// An app that breaks down at one message gets the others all the same.
func TestBox_AMessageThatAlwaysFailsHoldsUpTheOthersForAWhileOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, t.TempDir(), Options{})
		defer r.end()
		r.Start(r)
		r.keep(alice, "1", "2")
		r.set(func(m Message) (Outcome, bool) {
			if string(m.Request) == "1" {
				return Outcome{Status: 500}, true
			}
			return Outcome{Result: Delivered, Status: 200}, true
		})
		for range maxFailures - 1 {
			r.register(alice)
			r.took("alice 1")
		}
		r.register(alice)
		r.took("alice 1", "alice 2")
		r.count("refused", 1)
	})
}

func TestBox_Expiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, t.TempDir(), Options{})
		defer r.end()
		r.Start(r)
		m := message(alice, "short")
		m.Until = time.Now().Add(30 * time.Second)
		r.Keep(m, func(Ticket, error) {})
		r.keep(alice, "long")
		time.Sleep(30 * time.Second)
		r.register(alice)
		r.took("alice long")
		r.count("expired", 1)
		r.keep(alice, "forgotten")
		time.Sleep(25 * time.Hour)
		synctest.Wait()
		r.waits(alice, false)
		r.count("expired", 2)
	})
}

func TestBox_Bounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, t.TempDir(), Options{Limits: Limits{Bytes: 2500, Users: 3, UserMessages: 3, UserBytes: 1000}})
		defer r.end()
		big := strings.Repeat("x", 600)
		for _, tt := range []struct {
			name string
			aor  usrloc.AOR
			text string
			want error
		}{
			{"the first", alice, "1", nil},
			{"larger than all of a user's", alice, strings.Repeat("x", 1001), ErrUserFull},
			{"large", alice, big, nil},
			{"too many bytes of the user", alice, big, ErrUserFull},
			{"the third", alice, "3", nil},
			{"too many of the user", alice, "4", ErrUserFull},
			{"of another user", bob, big, nil},
			{"of a third", "sip:carol@example.com", big, nil},
			{"of a fourth", "sip:dave@example.com", "1", ErrFull},
			{"too many bytes of all", "sip:carol@example.com", strings.Repeat("x", 400), nil},
			{"and more", bob, strings.Repeat("x", 300), ErrFull},
		} {
			if _, err := r.keep(tt.aor, tt.text); !errors.Is(err, tt.want) {
				t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
			}
		}
		// What was delivered makes room.
		r.Start(r)
		r.register(alice)
		if _, err := r.keep(alice, "5"); err != nil {
			t.Error(err)
		}
	})
}

// TestBox_SurvivesAKill: whatever was accepted is there in a copy of the file that was
// made at that moment, and comes in order.
func TestBox_SurvivesAKill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, t.TempDir(), Options{})
		r.asleep()
		r.Start(r)
		for n := range 5 {
			r.keep(alice, fmt.Sprint(n))
			killed := filepath.Join(t.TempDir(), File)
			b, err := os.ReadFile(filepath.Join(r.dir, File))
			if err == nil {
				err = os.WriteFile(killed, b, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			after := newRig(t, filepath.Dir(killed), Options{})
			var want []string
			for i := range n + 1 {
				want = append(want, fmt.Sprint("alice ", i))
			}
			if all := after.Users(); len(all) != 1 || all[0].Messages != n+1 || all[0].AOR != alice {
				t.Errorf("after %d: %+v", n, all)
			}
			after.Start(after)
			after.took(want...)
			after.end()
			again := newRig(t, filepath.Dir(killed), Options{})
			again.waits(alice, false)
			again.end()
		}
		r.end()
	})
}

// A phone that registers after a restart gets what waited before it.
func TestBox_RegistrationsAreFollowedAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, t.TempDir(), Options{})
		r.keep(alice, "1")
		r.end()
		r = newRig(t, r.dir, Options{})
		defer r.end()
		r.asleep()
		r.Start(r)
		r.took("alice 1")
		r.awake()
		time.Sleep(23 * time.Hour) // Watches are renewed.
		r.register(alice)
		r.took("alice 1")
		r.waits(alice, false)
	})
}

func TestBox_Withdraw(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, t.TempDir(), Options{})
		defer r.end()
		r.Start(r)
		ticket, _ := r.keep(alice, "1")
		r.Withdraw(ticket)
		synctest.Wait()
		r.waits(alice, false)
		r.register(alice)
		r.took()
		// While it is on its way.
		r.set(func(Message) (Outcome, bool) { return Outcome{}, false })
		ticket, _ = r.keep(alice, "2")
		r.Try(alice)
		r.took("alice 2")
		r.Withdraw(ticket)
		synctest.Wait()
		r.keep(alice, "3")
		r.open["alice 2"](Outcome{Result: Delivered, Status: 200})
		r.took("alice 3")
		r.count("withdrawn", 2)
		r.count("delivered", 0)
	})
}

func TestBox_DeliveriesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, t.TempDir(), Options{Deliveries: 2})
		defer r.end()
		r.set(func(Message) (Outcome, bool) { return Outcome{}, false })
		for n := range 4 {
			r.keep(usrloc.AOR(fmt.Sprintf("sip:u%d@example.com", n)), "m")
		}
		r.Start(r)
		r.took("u0 m", "u1 m")
		r.open["u1 m"](Outcome{Status: 480})
		r.took("u2 m")
		r.open["u0 m"](Outcome{Status: 480})
		r.took("u3 m")
	})
}

func TestBox_DiskFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, t.TempDir(), Options{Limits: Limits{Bytes: 1 << 30, Users: 1000, UserMessages: 1000, UserBytes: 1 << 30}})
		defer r.end()
		r.keep(alice, "first")
		r.journal.db.MaxSize, r.journal.db.AllocSize = 128<<10, 4<<10
		var err error
		for n := 0; err == nil && n < 500; n++ {
			_, err = r.keep(bob, strings.Repeat("x", 1000)+fmt.Sprint(n))
		}
		if err == nil {
			t.Fatal("all was kept")
		}
		r.keep(bob, "more")
		if n := strings.Count(r.log.String(), "cannot be kept"); n != 1 {
			t.Errorf("the log says it %d times", n)
		}
		r.journal.db.MaxSize = 0
		if _, err := r.keep(bob, "last"); err != nil || !strings.Contains(r.log.String(), "kept again") {
			t.Errorf("Keep() = %v, log %s", err, r.log)
		}
		r.Start(r)
		synctest.Wait()
		if n := len(r.carried); n < 10 || r.carried[n-1] != "bob last" || !slices.Contains(r.carried, "alice first") {
			t.Errorf("%d were carried", n)
		}
	})
}

// A user whom no key of the file can name must not keep the messages of others, which
// are written at the same time, from being kept.
func TestBox_NamesThatAreTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, t.TempDir(), Options{})
		defer r.end()
		var long, short error
		r.Keep(message("sip:"+usrloc.AOR(strings.Repeat("x", 33_000))+"@example.com", "long"), func(_ Ticket, err error) { long = err })
		r.Keep(message(alice, "short"), func(_ Ticket, err error) { short = err })
		synctest.Wait()
		if long == nil || short != nil {
			t.Errorf("Keep() = %v for the long name, %v for the other", long, short)
		}
		r.waits(alice, true)
		if r.log.Len() != 0 {
			t.Errorf("the log says: %s", r.log)
		}
	})
}

func TestBox_Stop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, t.TempDir(), Options{})
		r.set(func(Message) (Outcome, bool) { return Outcome{}, false })
		r.Start(r)
		r.keep(alice, "1")
		r.keep(bob, "1")
		r.Try(alice)
		r.took("alice 1")
		r.Halt()
		r.register(bob)
		r.took()
		r.end()
		r.end()
		r.open["alice 1"](Outcome{Result: Delivered})
		r.Keep(message(alice, "2"), func(_ Ticket, err error) {
			if !errors.Is(err, ErrStopped) {
				t.Errorf("Keep() = %v", err)
			}
		})
	})
}

// TestBox_DiskHangs: the server ends all the same.
func TestBox_DiskHangs(t *testing.T) {
	r := newRig(t, t.TempDir(), Options{})
	tx, err := r.journal.db.Begin(true)
	if err != nil {
		t.Fatal(err)
	}
	r.Keep(message(alice, "1"), func(Ticket, error) {})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := r.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Stop() = %v", err)
	}
	if err := tx.Rollback(); err != nil {
		t.Error(err)
	}
	r.end()
}

func TestBox_WatchesThatFailAreTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, t.TempDir(), Options{})
		defer r.end()
		var cancels []func()
		for range 10 {
			_, cancel, err := r.store.Watch(t.Context(), bob, time.Now().Add(time.Hour), func(usrloc.Change) {})
			if err != nil {
				t.Fatal(err)
			}
			cancels = append(cancels, cancel)
		}
		r.Start(r)
		if _, err := r.keep(alice, "1"); err != nil {
			t.Fatal(err)
		}
		r.register(alice)
		r.took()
		for _, cancel := range cancels {
			cancel()
		}
		time.Sleep(sweepEvery)
		r.took("alice 1")
	})
}

func TestNew_DamagedFile(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, File), bytes.Repeat([]byte("no database"), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	r := newRig(t, dir, Options{})
	defer r.end()
	if _, err := os.Stat(filepath.Join(dir, File+".damaged")); err != nil || !strings.Contains(r.log.String(), "put aside") {
		t.Errorf("%v, log %s", err, r.log)
	}
}
