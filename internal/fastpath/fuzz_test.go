package fastpath

import (
	"context"
	"math/rand/v2"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"reveille/flow"
	"reveille/usrloc"
)

// newPersistent makes two pipelines that are used for many inputs, outside of a
// bubble.
func newPersistent(t testing.TB, o setup) both {
	// On one processor a message goes from goroutine to goroutine without the help
	// of the operating system, which is much faster.
	procs := runtime.GOMAXPROCS(1)
	t.Cleanup(func() { runtime.GOMAXPROCS(procs) })
	b := newBoth(t, o)
	t.Cleanup(b.stop)
	return b
}

// between sends raw between two refreshes of its phone, whose user may have
// another one, to both pipelines, and compares behind it and behind the second
// refresh.
func (b both) between(t testing.TB, f flow.Flow, raw string, another bool) {
	t.Helper()
	m := register{user: "u0", callID: "c", contact: phoneOf("u0")}
	refresh := func(cseq int) string { m.cseq = cseq; return m.String() }
	send := func(raw string) {
		b.with.handle(f, raw)
		b.without.handle(f, raw)
	}
	defer b.with.forget()
	defer b.without.forget()
	if another {
		other := register{user: "u0", callID: "another", contact: contactOf("u0", 4), cseq: 1}
		send(other.String())
	}
	send(refresh(5))
	send(raw)
	difference := b.differ()
	send(refresh(9))
	if difference += b.differ(); difference != "" {
		t.Fatalf("%s\nbehind\n%s", difference, raw)
	}
}

// alike reports whether two answers are the same, but that what is left of
// lifetimes may differ by some seconds.
func alike(a, b string) bool {
	const mark = ";expires="
	for {
		beforeA, restA, more := strings.Cut(a, mark)
		beforeB, restB, moreB := strings.Cut(b, mark)
		if beforeA != beforeB || more != moreB || !more {
			return beforeA == beforeB && more == moreB
		}
		x, y := 0, 0
		x, a = number(restA)
		y, b = number(restB)
		if x-y < -10 || x-y > 10 {
			return false
		}
	}
}

// number takes the number off the start of s.
func number(s string) (n int, rest string) {
	end := strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(s)
	}
	n, _ = strconv.Atoi(s[:end])
	return n, s[end:]
}

// forget makes p as good as new.
func (p *pipeline) forget() {
	ctx := context.Background()
	recs, _, err := p.store.List(ctx, usrloc.Cursor{}, 1000)
	if err != nil {
		p.t.Fatal(err)
	}
	done := make(chan struct{}, len(recs))
	for _, rec := range recs {
		p.store.Update(ctx, rec.AOR, func(rec usrloc.Record) (usrloc.Record, error) {
			rec.Bindings = nil
			return rec, nil
		}, func(usrloc.Record, []usrloc.Change, error) { done <- struct{}{} })
	}
	for range recs {
		<-done
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.answers)
}

// FuzzPath sends any bytes between two refreshes to both pipelines.
func FuzzPath(f *testing.F) {
	m := register{user: "u0", callID: "c", contact: phoneOf("u0"), cseq: 7}
	f.Add([]byte(m.String()), false)
	f.Add([]byte(strings.Replace(m.String(), "CSeq: 7", "Supported: gruu, outbound\r\nAllow: INVITE\r\nCSeq: 7", 1)), true)
	f.Add([]byte(strings.Replace(m.String(), "expires=3600", "expires=60 ;q=1.0", 1)), true)
	f.Add([]byte(strings.Replace(m.String(), "CSeq: 7", "Expires: 77\r\nX: y\r\nCSeq: 7", 1)), false)
	f.Add([]byte(strings.Replace(m.String(), "pn-provider", "provider", 1)), true) // a second binding
	b := newPersistent(f, setup{loose: true})
	f.Fuzz(func(t *testing.T, raw []byte, stream bool) {
		if len(raw) > 3000 || len(raw) == 0 {
			return
		}
		on := flowOf(5060)
		if stream {
			on = streamOf(5060)
		}
		b.between(t, on, string(raw), stream)
	})
}

// TestPath_Mutated damages refreshes at random.
func TestPath_Mutated(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	const bytes = " \t\r\n,;:<>\"=*%@?aA09\x00\xff"
	b := newPersistent(t, setup{loose: true})
	for n := range 500 {
		raw := register{user: "u0", callID: "c", contact: phoneOf("u0"), cseq: 7, more: []string{"Expires: 77", "Supported: gruu,outbound", "Allow: INVITE, ACK"}}.String()
		for range 1 + r.IntN(3) {
			at := r.IntN(len(raw))
			switch c := string(bytes[r.IntN(len(bytes))]); r.IntN(4) {
			case 0:
				raw = raw[:at] + c + raw[at+1:]
			case 1:
				raw = raw[:at] + c + raw[at:]
			case 2:
				raw = raw[:at] + raw[at+1:]
			case 3: // a part of it twice
				to := min(len(raw), at+r.IntN(60))
				raw = raw[:to] + raw[at:to] + raw[to:]
			}
		}
		b.between(t, flowOf(5060), raw, n%2 == 1)
	}
	if n := b.with.inPlace(); n < 250 || b.with.several < 100 {
		t.Errorf("%v refreshes were answered in place, %d of a phone beside another", n, b.with.several)
	}
}
