package bench

import (
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"reveille/push/pushsim"
)

// BenchmarkWake is one call to a sleeping phone: from the INVITE on the wire to
// the push at the push service, and from the phone's REGISTER to the INVITE that
// it gets.
func BenchmarkWake(b *testing.B) {
	arrived := make(chan time.Time, 1)
	r := newRig(b, func(pushsim.Push) { arrived <- time.Now() })
	phone, caller := r.peer(), r.peer()
	phone.register("alice", 1)
	var toPush, toInvite []time.Duration
	n := 1
	for b.Loop() {
		n++
		callID := fmt.Sprintf("call%d", n)
		began := time.Now()
		caller.invite("alice", callID)
		toPush = append(toPush, (<-arrived).Sub(began))
		began = time.Now()
		phone.register("alice", n)
		invite := phone.receive("INVITE ")
		toInvite = append(toInvite, time.Since(began))
		phone.send(decline(invite))
		phone.receive("ACK ")
		caller.receive("SIP/2.0 486 ")
	}
	percentiles(b, "invite-to-push", toPush)
	percentiles(b, "register-to-invite", toInvite)
}

// decline is a 486 to an INVITE.
func decline(invite string) string {
	var s strings.Builder
	s.WriteString("SIP/2.0 486 Busy Here\r\n")
	for line := range strings.SplitSeq(invite, "\r\n") {
		name, _, _ := strings.Cut(line, ":")
		switch name {
		case "Via", "From", "Call-ID", "CSeq":
			s.WriteString(line + "\r\n")
		case "To":
			s.WriteString(line + ";tag=busy\r\n")
		}
	}
	s.WriteString("Content-Length: 0\r\n\r\n")
	return s.String()
}

// BenchmarkParked is a REGISTER of a phone that nobody calls, while no or many
// requests wait for others; and what each of these costs in memory.
func BenchmarkParked(b *testing.B) {
	for _, parked := range []int{0, 20_000} {
		b.Run(fmt.Sprint(parked), func(b *testing.B) {
			var pushed atomic.Int64
			r := newRig(b, func(pushsim.Push) { pushed.Add(1) })
			phone, caller := r.peer(), r.peer()
			for i := range parked {
				phone.register(fmt.Sprintf("user%d", i), 1)
			}
			before := heap()
			for i := range parked {
				caller.invite(fmt.Sprintf("user%d", i), fmt.Sprintf("parked%d", i))
				caller.receive("SIP/2.0 100 ")
			}
			if got := r.app.Parked(); got != parked {
				b.Fatalf("%d requests are parked, want %d", got, parked)
			}
			var each float64
			if parked > 0 {
				// Pushes are done when the push service has seen them all.
				for pushed.Load() < int64(parked) {
					runtime.Gosched()
				}
				each = float64(heap()-before) / float64(parked)
			}
			lone := r.peer()
			lone.register("lone", 1)
			var took []time.Duration
			n := 1
			for b.Loop() {
				n++
				began := time.Now()
				lone.register("lone", n)
				took = append(took, time.Since(began))
			}
			percentiles(b, "register", took)
			if parked > 0 {
				b.ReportMetric(each, "B/parked")
			}
			runtime.KeepAlive(r)
		})
	}
}

// heap is the memory in use after a collection, stacks included.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}
