package auth

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)

func TestNonce_States(t *testing.T) {
	shared := []byte("0123456789abcdef")
	n, other := newNonces(shared, time.Minute), newNonces(nil, time.Minute)
	sameKey := newNonces(shared, time.Minute)
	nonce := n.issue("r", noon)
	for _, tt := range []struct {
		name  string
		by    *nonces
		nonce string
		realm string
		after time.Duration
		want  nonceState
	}{
		{"fresh", n, nonce, "r", 0, nonceFresh},
		{"last moment", n, nonce, "r", time.Minute - 1, nonceFresh},
		{"too late", n, nonce, "r", time.Minute, nonceExpired},
		{"other node's clock is behind", n, nonce, "r", -clockSkew, nonceFresh},
		{"from the future", n, nonce, "r", -clockSkew - 1, nonceExpired},
		{"other realm", n, nonce, "s", 0, nonceForeign},
		{"other process", other, nonce, "r", 0, nonceForeign},
		{"node with the same key", sameKey, nonce, "r", 0, nonceFresh},
		{"empty", n, "", "r", 0, nonceForeign},
		{"short", n, nonce[1:], "r", 0, nonceForeign},
		{"long", n, nonce + "A", "r", 0, nonceForeign},
		{"no base64", n, strings.Repeat("*", len(nonce)), "r", 0, nonceForeign},
		{"line end inside", n, nonce[:len(nonce)-1] + "\n", "r", 0, nonceForeign},
		{"zeros", n, strings.Repeat("A", len(nonce)), "r", 0, nonceForeign},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, issued, got := tt.by.inspect(tt.nonce, tt.realm, noon.Add(tt.after))
			if got != tt.want {
				t.Errorf("state %d, want %d", got, tt.want)
			}
			if got != nonceForeign && issued != noon.UnixNano() {
				t.Errorf("issued %d, want %d", issued, noon.UnixNano())
			}
		})
	}
}

func TestNonce_AnyCharacterChanged(t *testing.T) {
	n := newNonces(nil, time.Minute)
	nonce := n.issue("r", noon)
	id, _, _ := n.inspect(nonce, "r", noon)
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	for i := range nonce {
		for _, c := range []byte(letters) {
			forged := nonce[:i] + string(c) + nonce[i+1:]
			if forged == nonce {
				continue
			}
			// The last letter holds two bits that mean nothing: another spelling
			// is the same nonce and counts as such.
			got, _, state := n.inspect(forged, "r", noon)
			if state != nonceForeign && (i != len(nonce)-1 || got != id) {
				t.Fatalf("character %d changed to %c: state %d", i, c, state)
			}
		}
	}
}

func TestNonce_Unique(t *testing.T) {
	n := newNonces(nil, time.Minute)
	seen := map[string]bool{}
	for range 1000 {
		nonce := n.issue("r", noon)
		if seen[nonce] {
			t.Fatal("the same nonce twice in one instant")
		}
		seen[nonce] = true
	}
}

func TestWindow_RFC7616_3_4(t *testing.T) {
	for _, tt := range []struct {
		name string
		nc   []uint32
		want []bool
	}{
		{"growing", []uint32{1, 2, 3, 10, 11}, []bool{true, true, true, true, true}},
		{"repeated", []uint32{1, 1, 2, 2, 1}, []bool{true, false, true, false, false}},
		{"zero", []uint32{0, 1}, []bool{false, true}},
		{"overtaken", []uint32{1, 3, 2, 2, 3}, []bool{true, true, true, false, false}},
		{"starts high", []uint32{20, 1, 20}, []bool{true, true, false}},
		{"edge of the window", []uint32{100, 37, 36}, []bool{true, true, false}},
		{"far jump", []uint32{1, 1 << 31, 1<<32 - 1, 1, 1 << 31}, []bool{true, true, true, false, false}},
		{"jump by the window", []uint32{1, 65, 2, 1}, []bool{true, true, true, false}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var w window
			for i, nc := range tt.nc {
				if got := w.take(nc); got != tt.want[i] {
					t.Errorf("take %d: nc %d = %v, want %v", i, nc, got, tt.want[i])
				}
			}
		})
	}
}

// Whatever the order, no pair of nonce and nc is taken twice, and the tables
// stay within their bound.
func TestReplays_NeverTwice(t *testing.T) {
	const size = 16
	r := newReplays(size)
	rnd := rand.New(rand.NewPCG(1, 2))
	type use struct {
		id nonceID
		nc uint32
	}
	taken := map[use]bool{}
	accepted := 0
	for range 50_000 {
		issued := rnd.IntN(200)
		u := use{nonceID{byte(issued)}, uint32(rnd.IntN(100))}
		if r.take(u.id, int64(issued), u.nc, 0, noon) {
			if taken[u] {
				t.Fatalf("nonce %d, nc %d was taken twice", issued, u.nc)
			}
			taken[u] = true
			accepted++
		}
		if len(r.places) > size || len(r.ring) > size {
			t.Fatalf("%d places, %d in the ring, want at most %d", len(r.places), len(r.ring), size)
		}
	}
	if accepted < size {
		t.Errorf("only %d were taken", accepted)
	}
}

func TestReplays_ForgottenNonceIsUseless(t *testing.T) {
	r := newReplays(2)
	if !r.take(nonceID{1}, 100, 1, 0, noon) || !r.take(nonceID{2}, 200, 1, 0, noon) || !r.take(nonceID{3}, 300, 1, 0, noon) {
		t.Fatal("a first use is refused")
	}
	// The first was forgotten: neither it nor an older one can be used.
	if r.take(nonceID{1}, 100, 1, 0, noon) || r.take(nonceID{1}, 100, 2, 0, noon) || r.take(nonceID{9}, 50, 1, 0, noon) {
		t.Error("a nonce that was forgotten is taken")
	}
	if !r.take(nonceID{8}, 150, 1, 0, noon) {
		t.Error("a younger nonce is refused")
	}
	if !r.take(nonceID{3}, 300, 2, 0, noon) {
		t.Error("a second use of a nonce that is known is refused")
	}
}

func BenchmarkIssue(b *testing.B) {
	n := newNonces(nil, time.Minute)
	b.ReportAllocs()
	for b.Loop() {
		n.issue("example.com", noon)
	}
}
