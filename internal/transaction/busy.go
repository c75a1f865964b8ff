package transaction

import (
	"hash/maphash"
	"strings"
	"sync/atomic"

	"reveille/internal/sipmsg"
)

// busySlots is how many counters there are for Call-IDs, and as many for AORs.
// With n messages under way one idle Call-ID or AOR in busySlots/n is taken for
// a busy one; the tables take 256 kB.
const busySlots = 1 << 15

// A busyTable counts the messages that are queued, being handled, held or
// suspended, by the hash of their Call-ID and by that of the AOR in To: of a
// REGISTER the AOR that it is about, of a request outside of a dialog the one
// that is called. It is safe for concurrent use.
type busyTable struct {
	calls, aors [busySlots]atomic.Int32
}

// busySlot names the two counters of a message.
type busySlot struct{ call, aor uint16 }

// add counts n more messages.
func (b *busyTable) add(s busySlot, n int32) {
	b.calls[s.call].Add(n)
	b.aors[s.aor].Add(n)
}

// has reports whether a message is counted that shares one of the counters.
func (b *busyTable) has(s busySlot) bool {
	return b.calls[s.call].Load() != 0 || b.aors[s.aor].Load() != 0
}

// slot returns the counters of m.
func (l *Layer) slot(m *sipmsg.Message) busySlot {
	to := m.To()
	return busySlot{call: callSlot(l.hash(m.CallID())), aor: l.aorSlot(&to.URI)}
}

// hash spreads Call-IDs over the queues, and strings over the counters.
func (l *Layer) hash(s string) uint64 { return maphash.String(l.seed, s) }

func callSlot(hash uint64) uint16 { return uint16(hash >> 49) }

// aorSlot returns the counter of the AOR that u stands for. Two URIs for which
// sipmsg.CanonicalAOR returns the same share it, however they are written: scheme,
// password, port and parameters do not matter, nor do escapes, case and a final
// dot of the host. Addresses have many forms, so that they do not count at all:
// their users share the counters of their namesakes.
func (l *Layer) aorSlot(u *sipmsg.URI) uint16 {
	host := u.Host
	if host == "" || host[0] == '[' || host[0] >= '0' && host[0] <= '9' {
		host = ""
	}
	host = strings.ToLower(strings.TrimRight(host, "."))
	// Odd, so that no two hosts make the same of all users.
	return uint16((l.hash(sipmsg.Unescape(u.User)) * (l.hash(host) | 1)) >> 49)
}

// Busy reports whether a message with this Call-ID, or about the AOR that to
// stands for, is queued, being handled, held or suspended. It may say true for
// the sake of others, never false while a message of the caller's own flow is on
// its way: whoever reads a flow in order and finds both idle may handle the next
// message of that flow himself.
func (l *Layer) Busy(callID string, to *sipmsg.URI) bool {
	return l.busy.has(busySlot{call: callSlot(l.hash(callID)), aor: l.aorSlot(to)})
}
