package outbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"reveille/internal/event"
)

func TestOutbox_Restart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		away := &receiver{err: errors.New("connection refused")}
		r := newRig(t, dir, Options{})
		r.set(map[string]*receiver{"a": away, "b": {}}, 10)
		r.emit("1", "2")
		// As kill -9 leaves it: nothing was closed.
		crashed := filepath.Join(t.TempDir(), file)
		b, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(crashed, b, 0o600); err != nil {
			t.Fatal(err)
		}
		r.stop()
		for name, dir := range map[string]string{"stopped": dir, "killed": filepath.Dir(crashed)} {
			r := newRig(t, dir, Options{})
			if n := r.box.spool.waiting("a"); n.events != 2 || n.bytes == 0 || n.oldest.IsZero() {
				t.Errorf("%s: %+v waits", name, n)
			}
			a, b := &receiver{}, &receiver{}
			r.set(map[string]*receiver{"a": a, "b": b}, 10)
			r.emit("3")
			if got := strings.Join(a.got(), " "); got != "1 2 3" {
				t.Errorf("%s: got %s", name, got)
			}
			if got := strings.Join(b.got(), " "); name == "stopped" && got != "3" {
				t.Errorf("what was delivered came again: %s", got)
			}
			if n := r.box.spool.waiting("a"); n != (size{}) {
				t.Errorf("%s: %+v waits afterwards", name, n)
			}
			r.stop()
		}
	})
}

func TestOutbox_Bounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		away := &receiver{err: errors.New("connection refused")}
		r := newRig(t, t.TempDir(), Options{MaxBytes: 1000, MaxAge: time.Hour})
		defer r.stop()
		r.set(map[string]*receiver{"a": away, "b": {}}, 10)
		for n := range 20 {
			r.emit(fmt.Sprintf("%02d", n))
		}
		n := r.box.spool.waiting("a")
		if n.bytes > 1000 || n.bytes < 700 {
			t.Errorf("%+v waits", n)
		}
		events, err := r.box.spool.next("a", 0, 100, 1<<20)
		if err != nil || len(events) != n.events || !strings.Contains(string(events[len(events)-1].body), `"19"`) {
			t.Errorf("%d events, %v; want the latest %d", len(events), err, n.events)
		}
		time.Sleep(2 * time.Hour)
		if n := r.box.spool.waiting("a"); n != (size{}) {
			t.Errorf("%+v waits after two hours", n)
		}
		r.metric("reveille_outbox_lost_total", fmt.Sprintf(`
# HELP reveille_outbox_lost_total Events that webhooks did not get: too old, spool full, disk failed, refused.
# TYPE reveille_outbox_lost_total counter
reveille_outbox_lost_total{reason="full",webhook="a"} %d
reveille_outbox_lost_total{reason="old",webhook="a"} %d
`, 20-n.events, n.events))
		if !strings.Contains(r.log.String(), "webhook=a") || strings.Contains(r.log.String(), "webhook=b") {
			t.Error(r.log.String())
		}
	})
}

// TestOutbox_DiskFull: the server goes on, events are lost and counted, and the
// webhook gets what came before and after.
func TestOutbox_DiskFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, t.TempDir(), Options{})
		to := &receiver{err: errors.New("connection refused")}
		r.set(map[string]*receiver{"a": to}, 100)
		r.emit("1")
		info, err := os.Stat(filepath.Join(r.dir, file))
		if err != nil {
			t.Fatal(err)
		}
		r.box.spool.db.MaxSize = int(info.Size()) + 64<<10
		r.box.spool.db.AllocSize = 4 << 10
		for n := range 200 {
			r.emit(strings.Repeat("x", 1000) + fmt.Sprint(n))
		}
		lost := testutil.ToFloat64(r.box.metrics.losses.WithLabelValues("a", "disk"))
		if lost == 0 || lost == 200 {
			t.Errorf("%v events were lost", lost)
		}
		if n := strings.Count(r.log.String(), "cannot be kept"); n != 1 {
			t.Errorf("the log says it %d times", n)
		}
		r.box.spool.db.MaxSize = 0
		r.emit("last")
		to.mu.Lock()
		to.err = nil
		to.mu.Unlock()
		time.Sleep(5 * time.Minute)
		all := strings.Fields(strings.Join(to.got()[len(to.got())-1:], " "))
		if len(all) == 0 || all[len(all)-1] != "last" || !strings.Contains(r.log.String(), "kept again") {
			t.Errorf("the last event is not there: %d", len(all))
		}
		if n := r.box.spool.waiting("a"); n != (size{}) {
			t.Errorf("%+v waits", n)
		}
		r.stop()
	})
}

// TestOutbox_DiskHangs: the server ends all the same.
func TestOutbox_DiskHangs(t *testing.T) {
	r := newRig(t, t.TempDir(), Options{})
	r.set(map[string]*receiver{"a": {err: errors.New("connection refused")}}, 10)
	r.box.spool.writing.Lock() // As a write that does not return.
	r.feed.Emit(event.RefreshDue{AOR: "1"})
	for _, stop := range []func(context.Context) error{r.feed.Stop, r.box.Stop} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		if err := stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Stop() = %v", err)
		}
		cancel()
	}
	r.box.spool.writing.Unlock()
	r.stop()
	again := newRig(t, r.dir, Options{})
	if n := again.box.spool.waiting("a"); n.events != 1 {
		t.Errorf("%+v waits", n)
	}
	again.stop()
}

func TestNew_Files(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, file), bytes.Repeat([]byte("no database"), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	r := newRig(t, dir, Options{})
	if _, err := os.Stat(filepath.Join(dir, file+".damaged")); err != nil || !strings.Contains(r.log.String(), "put aside") {
		t.Error(err)
	}
	if _, err := New(Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("a second one: %v", err)
	}
	r.stop()
	if _, err := New(Options{Dir: filepath.Join(dir, "none")}); err == nil {
		t.Error("a folder that is not there is taken")
	}
}

// TestNew_DamagedFile: whatever became of the file, the server starts. What can be
// read is sent.
func TestNew_DamagedFile(t *testing.T) {
	var whole []byte
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, t.TempDir(), Options{})
		r.set(map[string]*receiver{"a": {err: errors.New("connection refused")}}, 10)
		for n := range 50 {
			r.emit(strings.Repeat("x", 500) + fmt.Sprint(n))
		}
		r.stop()
		var err error
		if whole, err = os.ReadFile(filepath.Join(r.dir, file)); err != nil {
			t.Fatal(err)
		}
	})
	page := os.Getpagesize()
	damage := map[string]func(b []byte) []byte{
		"cut in half":     func(b []byte) []byte { return b[:len(b)/2] },
		"without an end":  func(b []byte) []byte { return b[:3*page] },
		"empty":           func([]byte) []byte { return nil },
		"without a begin": func(b []byte) []byte { clear(b[:2*page]); return b },
	}
	for n := range len(whole) / page {
		at := n * page
		damage[fmt.Sprintf("page %d zero", n)] = func(b []byte) []byte { clear(b[at : at+page]); return b }
		damage[fmt.Sprintf("page %d noise", n)] = func(b []byte) []byte {
			for i := range page {
				b[at+i] = byte(i*i>>3 + 7)
			}
			return b
		}
	}
	aside := 0
	for name, do := range damage {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, file), do(bytes.Clone(whole)), 0o600); err != nil {
			t.Fatal(err)
		}
		o, err := New(Options{Dir: dir, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Errorf("%s: New() = %v", name, err)
			continue
		}
		if _, err := os.Stat(filepath.Join(dir, file+".damaged")); err == nil {
			aside++
		}
		if _, err := o.spool.add(map[string][][]byte{"a": {[]byte("{}")}}, time.Now()); err != nil {
			t.Errorf("%s: add() = %v", name, err)
		}
		if err := o.Stop(t.Context()); err != nil {
			t.Errorf("%s: Stop() = %v", name, err)
		}
	}
	if aside == 0 || aside == len(damage) {
		t.Errorf("%d of %d files were put aside", aside, len(damage))
	}
}
