package disk

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"reveille/usrloc"
	"reveille/usrloc/usrloctest"
)

// The environment variables that make this test binary a process to kill, and
// that say how many are killed; a long run has 100.
const (
	victimDir  = "REVEILLE_DISK_VICTIM"
	victimMode = "REVEILLE_DISK_VICTIM_MODE"
	killLoops  = "REVEILLE_DISK_KILL_LOOPS"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(victimDir); dir != "" {
		os.Exit(victim(dir, os.Getenv(victimMode), os.Stdout))
	}
	os.Exit(m.Run())
}

// brokenDisk is the mode of a victim whose disk takes only the first logs.
const brokenDisk = "broken"

// victimAORs are changed by one writer each, so that at most one change of an
// AOR is under way.
const victimAORs = 64

// victim opens the store in dir and changes it until it is killed. A line "n k"
// on out says that change k of AOR n is durable.
func victim(dir, mode string, out io.Writer) int {
	o := Options{Dir: dir, OnFailure: func(err error) { fmt.Fprintln(os.Stderr, err); os.Exit(3) }}
	o.pace.sweepEvery, o.pace.sweepStep = time.Millisecond, time.Millisecond
	switch mode {
	case Write.String():
		o.Mode = Write
	case brokenDisk:
		var logs atomic.Int32
		o.FS = errorfs.Wrap(vfs.Default, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind == errorfs.OpCreate && strings.HasSuffix(op.Path, ".log") && logs.Add(1) > 3 {
				return syscall.EIO
			}
			return nil
		}))
	}
	s, err := Open(o)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	fmt.Fprintln(out, "open")
	for n := range victimAORs {
		go func() {
			for {
				// One write(2) for each line: what was reported is in the pipe.
				fmt.Fprintln(out, victimStep(s, n))
			}
		}()
	}
	select {}
}

// victimStep makes the next change of AOR n, by a Touch if that takes it, and
// returns the line that says so.
func victimStep(s *Store, n int) string {
	var k uint32
	wait := make(settled, 1)
	if s.Touch(usrloctest.AOR(n), time.Now(), func(all []usrloc.Binding) int {
		b := &all[0]
		k = b.CSeq + 1
		to := stateAt(n, k)
		if len(all) != 1 || len(to) != 1 || to[0].Contact != b.Contact {
			return -1
		}
		b.CSeq, b.Expires, b.RetainUntil, b.UserAgent = k, to[0].Expires, to[0].RetainUntil, to[0].UserAgent
		return 0
	}, wait) == usrloc.TouchPending {
		if err := <-wait; err != nil {
			return err.Error()
		}
		return fmt.Sprintf("%d %d", n, k)
	}
	err := tryUpdate(s, usrloctest.AOR(n), func(rec usrloc.Record) (usrloc.Record, error) {
		k = 1
		if len(rec.Bindings) > 0 {
			k = rec.Bindings[0].CSeq + 1
		}
		rec.Bindings = stateAt(n, k)
		return rec, nil
	})
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%d %d", n, k)
}

// stateAt is what AOR n looks like after its change k: refreshes, now and then
// a new Contact or User-Agent, and for even n a second device that comes and goes.
func stateAt(n int, k uint32) []usrloc.Binding {
	aor, base := usrloctest.AOR(n), time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	first, second := usrloctest.Binding(aor, 0, base), usrloctest.Binding(aor, 1, base.Add(time.Second))
	first.Contact += fmt.Sprintf(";v=%d", k/8)
	second.CallID = fmt.Sprintf("call-%d", k)
	list := []usrloc.Binding{first, second}
	for i := range list {
		list[i].CSeq = k
		list[i].Expires = base.AddDate(70, 0, 0).Add(time.Duration(k) * time.Second)
		list[i].RetainUntil = list[i].Expires
	}
	if n%4 == 3 {
		list[0].UserAgent = fmt.Sprintf("agent %d", k/3)
	}
	if k%4 == 0 || n%2 == 1 {
		list = list[:1]
	}
	return list
}

// TestKill_NothingAcknowledgedIsLost kills a process that writes, again and
// again, also while it is starting, and compares what it had reported with what
// the next one finds.
func TestKill_NothingAcknowledgedIsLost(t *testing.T) {
	loops := 12
	if n, err := strconv.Atoi(os.Getenv(killLoops)); err == nil {
		loops = n
	}
	for _, mode := range []Mode{Fsync, Write} {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(uint64(mode), 42))
			dir := filepath.Join(t.TempDir(), "store")
			known := make(map[int]uint32)
			reports := 0
			for i := range loops / 2 {
				after, start := 50+r.IntN(400), time.Duration(0)
				if i%3 == 2 {
					start = time.Duration(5+r.IntN(80)) * time.Millisecond
				}
				reports += killOne(t, dir, mode, after, start, known)
				compareKilled(t, dir, mode, known)
			}
			if reports < loops/2*30 {
				t.Errorf("only %d changes were acknowledged", reports)
			}
			t.Logf("%d changes acknowledged, none lost", reports)
		})
	}
}

// TestOpen_SecondProcessIsToldWhoHasTheStore: at once, and by its number.
func TestOpen_SecondProcessIsToldWhoHasTheStore(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), victimDir+"="+dir, victimMode+"="+Fsync.String())
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() && lines.Text() != "open" {
		continue
	}
	_, err = Open(Options{Dir: dir})
	if want := fmt.Sprintf("process %d", cmd.Process.Pid); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), want) {
		t.Errorf("Open: %v, want ErrLocked by %s", err, want)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, out); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	mustOpen(t, Options{Dir: dir, OnFailure: failNow(t)})
}

// killOne runs a victim until it has reported some changes, or for a time from
// its start if that is given, and notes what it reports.
func killOne(t *testing.T, dir string, mode Mode, after int, start time.Duration, known map[int]uint32) int {
	t.Helper()
	reports, stderr, code := runVictim(t, dir, mode.String(), after, start, known)
	if code != -1 || stderr != "" {
		t.Fatalf("the victim ended by itself with %d: %s", code, stderr)
	}
	return reports
}

// runVictim returns how often the victim reported, what else it said, and its
// exit code, -1 for a victim that was killed.
func runVictim(t *testing.T, dir, mode string, after int, start time.Duration, known map[int]uint32) (reports int, said string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, exe)
	cmd.Env = append(os.Environ(), victimDir+"="+dir, victimMode+"="+mode)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill := func() { cmd.Process.Kill() }
	if start > 0 {
		defer time.AfterFunc(start, kill).Stop()
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if lines.Text() == "open" {
			continue
		}
		var n int
		var k uint32
		if _, err := fmt.Sscanf(lines.Text(), "%d %d", &n, &k); err != nil {
			t.Fatalf("the victim says %q", lines.Text())
		}
		known[n] = k
		if reports++; reports == after {
			kill() // what is in the pipe already is read all the same
		}
	}
	if err := cmd.Wait(); err == nil {
		t.Fatal("the victim ended without an error")
	}
	return reports, stderr.String(), cmd.ProcessState.ExitCode()
}

// compareKilled opens the store and compares it with what is known. One change
// of an AOR more may be there: it had been made and not reported.
func compareKilled(t *testing.T, dir string, mode Mode, known map[int]uint32) {
	t.Helper()
	s := mustOpen(t, Options{Dir: dir, Mode: mode, OnFailure: failNow(t)})
	count := 0
	for n := range victimAORs {
		got, k := mustGet(t, s, usrloctest.AOR(n)).Bindings, uint32(0)
		if len(got) > 0 {
			k = got[0].CSeq
		}
		if k != known[n] && k != known[n]+1 {
			t.Errorf("AOR %d is at change %d, %d was acknowledged", n, k, known[n])
		}
		known[n] = k
		if k == 0 {
			continue
		}
		if d := usrloctest.Diff(stateAt(n, k), got); d != "" {
			t.Errorf("AOR %d after change %d (-want +got):\n%s", n, k, d)
		}
		count += len(got)
	}
	if st := s.Stats(); st.Bindings != count {
		t.Errorf("the store counts %d bindings, there are %d", st.Bindings, count)
	}
	mustClose(t, s)
}
