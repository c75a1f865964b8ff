package transaction

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"reveille/flow"
	"reveille/internal/modeltest"
)

// A keyUser notes in which order the requests of each key come up. Some handlers
// suspend their key for a random time, some keys for ever.
type keyUser struct {
	*rig

	mu   sync.Mutex
	rng  *rand.Rand
	got  map[holdKey][]uint32
	open map[holdKey]bool // a handler of the key is suspended now
}

func (u *keyUser) Request(s *Server) {
	key := holdKey{s.Flow(), s.Message().CallID()}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.open[key] {
		u.t.Errorf("key %s %s: a message came up while the key was suspended", key.f, key.callID)
	}
	u.got[key] = append(u.got[key], s.Message().CSeq().Seq)
	if key.callID == "stuck" {
		s.Suspend() // never resumed: nobody else may wait for it
		return
	}
	if u.rng.IntN(4) != 0 {
		s.Reply(reply(200))
		return
	}
	u.open[key] = true
	resume := s.Suspend()
	after := time.Duration(u.rng.IntN(50)) * time.Millisecond
	time.AfterFunc(after, func() {
		resume(func() {
			u.mu.Lock()
			u.open[key] = false
			u.mu.Unlock()
			s.Reply(reply(200))
		})
	})
}

// TestOrder_KeysNeverWaitForEachOther sends the messages of many calls on
// several flows in a random order; some handlers suspend their key and resume
// later, in another random order.
func TestOrder_KeysNeverWaitForEachOther_Invariant1(t *testing.T) {
	for seed := range modeltest.Seeds(t, 6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { checkOrder(t, seed) })
		})
	}
}

func checkOrder(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 1))
	r := newRig(t, Options{Queues: 1 + rng.IntN(4), MaxHeld: 1000})
	u := &keyUser{rig: r, rng: rng, got: map[holdKey][]uint32{}, open: map[holdKey]bool{}}
	r.layer.o.User = u

	flows := make([]flow.Flow, 3)
	for i := range flows {
		flows[i] = tcpCaller
		flows[i].Conn = uint64(i + 1)
	}
	want := map[holdKey][]uint32{}
	var readers sync.WaitGroup
	for i, f := range flows {
		// One reader for each flow, as in a transport. All flows use the same
		// Call-IDs.
		local := rand.New(rand.NewPCG(seed, uint64(i)))
		sent := map[string]int{}
		type step struct {
			rq    rq
			pause time.Duration
		}
		var steps []step
		for n := range 200 {
			id := fmt.Sprintf("call-%d", local.IntN(20))
			if local.IntN(30) == 0 {
				id = "stuck"
			}
			sent[id]++
			key := holdKey{f, id}
			if id != "stuck" || sent[id] == 1 {
				want[key] = append(want[key], uint32(sent[id]))
			}
			steps = append(steps, step{
				rq{method: "MESSAGE", callID: id, seq: sent[id], via: fmt.Sprintf("SIP/2.0/TCP h%d;branch=z9hG4bK%d", i, n)},
				time.Duration(local.IntN(3)) * time.Millisecond,
			})
		}
		readers.Go(func() {
			for _, st := range steps {
				time.Sleep(st.pause)
				if !r.layer.Receive(f, st.rq.on(t, f)) {
					t.Error("Receive() = false, want true")
				}
			}
		})
	}
	readers.Wait()
	r.advance(time.Minute)
	synctest.Wait()
	if diff := cmp.Diff(want, u.got, cmp.AllowUnexported(holdKey{}), cmp.Comparer(func(a, b flow.Flow) bool { return a == b })); diff != "" {
		t.Errorf("order of the requests of each key (-want +got):\n%s", diff)
	}
}

func TestOrder_PostsAndMessagesShareOneOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{})
		q := r.layer.Queue("call")
		hold := make(chan struct{})
		q.Post(func() { <-hold })
		r.layer.Receive(tcpCaller, rq{method: "MESSAGE", via: branch(1)}.on(t, tcpCaller))
		q.Post(func() { r.log("posted") })
		r.layer.Receive(tcpCaller, rq{method: "INFO", via: branch(2)}.on(t, tcpCaller))
		synctest.Wait()
		close(hold)
		r.expect("0s request MESSAGE", "0s posted", "0s request INFO")
	})
}
