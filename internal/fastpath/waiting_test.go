package fastpath

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"reveille/flow"
	"reveille/registrar"
	"reveille/usrloc"
)

// A settler is a store whose Touches are pending, and settled as end wants.
type settler struct {
	*usrloc.Memory
	end func(usrloc.Waiter)
}

func (s settler) Touch(aor usrloc.AOR, now time.Time, fn func([]usrloc.Binding) int, wait usrloc.Waiter) usrloc.Touched {
	touched := s.Memory.Touch(aor, now, fn, nil)
	if touched == usrloc.TouchDone {
		s.end(wait)
		touched = usrloc.TouchPending
	}
	return touched
}

func settling(end func(usrloc.Waiter)) func(*usrloc.Memory) registrar.Toucher {
	return func(m *usrloc.Memory) registrar.Toucher { return settler{m, end} }
}

// A refresh is answered once, with its own answer, whether it is settled before
// Touch returns, meanwhile or later, on any goroutine.
func TestPath_SettledAtAnyMoment(t *testing.T) {
	const phones, refreshes = 8, 300
	p := newPipeline(t, setup{with: true, touch: settling(func(w usrloc.Waiter) {
		switch rand.IntN(3) {
		case 0:
			w.Settled(nil)
		case 1:
			go w.Settled(nil)
		case 2:
			time.AfterFunc(time.Duration(rand.IntN(100))*time.Microsecond, func() { w.Settled(nil) })
		}
	})})
	settlePolicy()
	var wg sync.WaitGroup
	for n := range phones {
		wg.Go(func() {
			user := fmt.Sprint("u", n)
			m := register{user: user, callID: user, contact: phoneOf(user)}
			for i := range refreshes {
				m.cseq = 1 + i
				p.handle(flowOf(uint16(6000+n)), m.String())
			}
		})
	}
	wg.Wait()
	p.stop() // It waits for the answers.
	if got := p.inPlace(); got < phones*(refreshes-1) {
		t.Errorf("%v refreshes were taken in place, want %d", got, phones*(refreshes-1))
	}
	for user, answers := range p.answers {
		seen := map[string]bool{}
		for _, a := range answers {
			_, cseq, _ := strings.Cut(a, "CSeq: ")
			cseq, _, _ = strings.Cut(cseq, " ")
			if seen[cseq] || !strings.Contains(a, "SIP/2.0 200 OK") || !strings.Contains(a, "sip:"+user+"@192.0.2.9") {
				t.Fatalf("%s: a wrong or second answer:\n%s", user, a)
			}
			seen[cseq] = true
		}
		if len(seen) != refreshes {
			t.Errorf("%s: %d answers, want %d", user, len(seen), refreshes)
		}
	}
}

// What is not durable in the end is answered, counted and told as without the
// Path.
func TestPath_CommitFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		failing := []*failingCommitter{{}, {}}
		b := both{newPipeline(t, setup{with: true, store: late, committer: failing[0]}), newPipeline(t, setup{store: late, committer: failing[1]})}
		defer b.stop()
		settlePolicy()
		m := register{user: "u0", callID: "c", contact: phoneOf("u0"), cseq: 1}
		b.receive(flowOf(5060), m.String())
		b.settle(t, "before")
		for _, c := range failing {
			c.broken.Store(true)
		}
		for range 3 {
			m.cseq++
			b.receive(flowOf(5060), m.String())
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if b.with.inPlace() == 0 {
			t.Error("nothing was taken in place")
		}
		if d := b.answersDiffer(); d != "" {
			t.Error(d)
		}
		if d := cmp.Diff(b.without.registered(), b.with.registered()); d != "" {
			t.Errorf("counters differ (-without +with):\n%s", d)
		}
		for _, a := range b.with.answers["c"] {
			if !strings.Contains(a, "SIP/2.0 503 ") || !strings.Contains(a, "Retry-After: ") {
				t.Errorf("a change that was lost is answered\n%s", a)
			}
		}
	})
}

// registered is what the registrar counted.
func (p *pipeline) registered() map[string]float64 {
	all := p.counters()
	for name := range all {
		if !strings.HasPrefix(name, "reveille_registrar_") {
			delete(all, name)
		}
	}
	return all
}

// A failingCommitter fails when it is broken.
type failingCommitter struct{ broken atomic.Bool }

var errBroken = errors.New("broken")

func (c *failingCommitter) Commit(_ usrloc.AOR, _ []usrloc.Change, done func(error)) { c.end(done) }
func (c *failingCommitter) AdmitRefresh() bool                                       { return true }
func (c *failingCommitter) CommitRefresh(r usrloc.Refresh) {
	c.end(func(err error) { usrloc.Settle([]usrloc.Pending{r.Pending}, err) })
}

func (c *failingCommitter) end(done func(error)) {
	var err error
	if c.broken.Load() {
		err = errBroken
	}
	time.AfterFunc(time.Millisecond, func() { done(err) })
}

// A copy of a refresh that waits is answered like the first, as without the Path.
func TestPath_RetransmissionWhileItWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBoth(t, setup{store: late})
		defer b.stop()
		m := register{user: "u0", callID: "c", contact: phoneOf("u0"), cseq: 1}
		b.receive(flowOf(5060), m.String())
		b.settle(t, "registered")
		m.cseq++
		b.receive(flowOf(5060), m.String())
		b.receive(flowOf(5060), m.String())
		m.cseq++
		b.receive(flowOf(5060), m.String())
		b.settle(t, "refreshed twice, and a copy")
		if n := b.with.inPlace(); n != 1 {
			// The copy waits for the store, and what follows waits behind it.
			t.Errorf("%v were taken in place, want 1", n)
		}
	})
}

// Stop of the layer waits until the answers are on their way, and takes no more.
func TestPath_StopSendsWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var waiter usrloc.Waiter
		p := newPipeline(t, setup{with: true, touch: settling(func(w usrloc.Waiter) { waiter = w })})
		settlePolicy()
		m := register{user: "u0", callID: "c", contact: phoneOf("u0"), cseq: 1}
		p.receive(flowOf(1), m.String())
		synctest.Wait()
		m.cseq++
		p.receive(flowOf(1), m.String())
		if waiter == nil {
			t.Fatal("declined")
		}
		stopped := make(chan error)
		go func() { stopped <- p.layer.Stop(context.Background()) }()
		synctest.Wait()
		select {
		case <-stopped:
			t.Error("the layer stops while an answer waits")
		default:
		}
		m.cseq++
		if _, mine := p.path.Try(flowOf(1), []byte(m.String()), nil); mine {
			t.Error("a refresh was taken while the layer stops")
		}
		waiter.Settled(nil)
		if err := <-stopped; err != nil {
			t.Error(err)
		}
		if n := len(p.answers["c"]); n != 2 {
			t.Errorf("%d answers, want 2", n)
		}
	})
}

// What cannot be posted is lost, and its memory used again.
func TestPath_PostFails(t *testing.T) {
	p := newPipeline(t, setup{with: true, touch: settling(func(w usrloc.Waiter) { w.Settled(nil) })})
	settlePolicy()
	p.path.o.Post = func(flow.Flow, []byte) error { return errBroken }
	m := register{user: "u0", callID: "c", contact: phoneOf("u0")}
	for range 100 {
		m.cseq++
		p.handle(flowOf(1), m.String())
	}
	p.stop()
	if n := len(p.answers["c"]); n != 1 || p.inPlace() != 99 {
		t.Errorf("%d answers, %v taken in place; want 1 and 99", n, p.inPlace())
	}
}
