package proxy

import (
	"math"
	"testing"
	"time"

	"reveille/usrloc"
)

// measured is what OPTIONS found out.
type measured map[usrloc.BindingID]time.Duration

func (m measured) Latency(id usrloc.BindingID) (time.Duration, bool) {
	d, ok := m[id]
	return d, ok
}

const mute time.Duration = math.MaxInt64

// The fastest comes first, then what nobody asked, by q, then who did not answer.
func TestLatency_FastestFirst(t *testing.T) {
	m := measured{}
	inWorld(t, Options{Fork: Sequential, Sort: ByLatency, Latencies: m}, func(w *world) {
		all := three(w)
		m[all[0].id], m[all[1].id], m[all[2].id] = mute, 80*time.Millisecond, 20*time.Millisecond
		w.register(w.newPhone("alice", udp("198.51.100.4:5060"), ""))
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		w.reply(w.expect("INVITE 198.51.100.3:5060")[0], 486)
		w.reply(w.expect("ACK 198.51.100.3:5060", "INVITE 198.51.100.2:5060")[1], 486)
		w.reply(w.expect("ACK 198.51.100.2:5060", "INVITE 198.51.100.4:5060")[1], 486)
		w.reply(w.expect("ACK 198.51.100.4:5060", "INVITE 198.51.100.1:5060")[1], 200)
		w.expect("200 203.0.113.9:5060")
	})
}

func TestLatency_SlowAndMuteAreLeftOut(t *testing.T) {
	m := measured{}
	inWorld(t, Options{MaxLatency: 50 * time.Millisecond, Latencies: m}, func(w *world) {
		all := three(w)
		m[all[0].id], m[all[1].id], m[all[2].id] = mute, 51*time.Millisecond, 50*time.Millisecond
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		w.reply(w.expect("INVITE 198.51.100.3:5060")[0], 200)
		w.expect("200 203.0.113.9:5060")
	})
}

// A phone that sleeps is woken whatever it took when it was awake.
func TestLatency_SleepersStay(t *testing.T) {
	m := measured{}
	inWorld(t, Options{MaxLatency: 50 * time.Millisecond, Latencies: m}, func(w *world) {
		asleep := w.newPhone("alice", udp("198.51.100.9:5060"), "fcm")
		w.register(asleep)
		w.sleeps(asleep)
		slow := w.newPhone("alice", udp("198.51.100.8:5060"), "")
		w.register(slow)
		m[asleep.id], m[slow.id] = time.Second, time.Second
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		w.expect()
		w.pushCount(1)
		time.Sleep(time.Second)
		w.register(asleep)
		w.reply(w.expect("INVITE 198.51.100.9:5060")[0], 200)
		w.expect("200 203.0.113.9:5060")
	})
}

// With nobody fast, the slow ones are called: also if all that is left cannot be
// reached.
func TestLatency_NeverLeavesOutAll(t *testing.T) {
	m := measured{}
	inWorld(t, Options{MaxLatency: 50 * time.Millisecond, Latencies: m}, func(w *world) {
		slow := w.newPhone("alice", udp("198.51.100.8:5060"), "")
		w.register(slow)
		m[slow.id] = mute
		gone := w.newPhone("alice", tcp("198.51.100.7:40000", 3), "")
		w.register(gone)
		w.with(func() { w.dead[gone.flow] = true })
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		w.reply(w.expect("INVITE 198.51.100.8:5060")[0], 200)
		w.expect("200 203.0.113.9:5060")
	})
}

func TestWay_OnlyToWhoIsAwake(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		way := func(what string, p *phone, want bool) {
			t.Helper()
			rec, err := w.store.Get(t.Context(), p.aor)
			if err != nil {
				t.Fatal(err)
			}
			to, uri, ok := w.proxy.Way(rec.Find(p.id))
			if ok != want || ok && (to != p.flow || uri == "") {
				t.Errorf("%s: Way() = %v, %q, %v, want %v", what, to, uri, ok, want)
			}
		}
		plain := w.newPhone("bob", udp("198.51.100.1:5060"), "")
		w.register(plain)
		way("no push", plain, true)
		stream := w.newPhone("carol", tcp("198.51.100.2:40000", 3), "")
		w.register(stream)
		way("connection", stream, true)
		w.with(func() { w.dead[stream.flow] = true })
		way("connection that is gone", stream, false)
		pushed := w.newPhone("alice", udp("198.51.100.3:5060"), "fcm")
		w.register(pushed)
		way("push, awake", pushed, true)
		w.sleeps(pushed)
		way("push, asleep", pushed, false)
	})
}
