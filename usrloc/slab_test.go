package usrloc

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// TestSlab_AgainstMap sets and frees strings of all sizes at random.
func TestSlab_AgainstMap(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 0))
	var s slab
	type stored struct {
		ref  uint32
		data []byte
	}
	model := make(map[int]stored)
	most := 0
	for range 20_000 {
		key := r.IntN(300)
		data := bytes.Repeat([]byte{byte(r.Uint32())}, r.IntN(1+r.IntN(3*slabUnit*slabUnits/2)))
		if r.IntN(3) == 0 {
			data = nil
		}
		ref := s.set(model[key].ref, data)
		if (ref == 0) != (len(data) == 0) {
			t.Fatalf("set of %d bytes = %d", len(data), ref)
		}
		model[key] = stored{ref, data}
		for k, want := range model {
			if k%20 != key%20 {
				continue
			}
			if got := s.get([]byte("x"), want.ref, len(want.data)); string(got) != "x"+string(want.data) {
				t.Fatalf("get(%d) = %q, want %q", k, got, want.data)
			}
			if s.text(want.ref, len(want.data)) != string(want.data) {
				t.Fatalf("text(%d) does not agree with get", k)
			}
			if !s.equal(want.ref, len(want.data), string(want.data)) || s.equal(want.ref, len(want.data), string(want.data)+"x") {
				t.Fatalf("equal(%d) does not agree with get", k)
			}
		}
		most = max(most, s.bytes())
	}
	// A page of each size, and 300 strings: free slots are used again.
	if limit := (slabUnits + 300*3*slabUnit*slabUnits/2/slabPages) * slabPages; most > limit {
		t.Errorf("%d bytes for 300 strings, want %d at most", most, limit)
	}
	for _, m := range model {
		s.release(m.ref)
	}
	pages := 0
	for at := s.empty; at != 0; at = s.pages[at].next {
		pages++
	}
	if pages != len(s.pages)-1 || s.largeSize != 0 {
		t.Errorf("%d of %d pages are empty when nothing is stored, %d bytes of long strings", pages, len(s.pages)-1, s.largeSize)
	}
}

// TestSlab_SizesChange: when all strings get longer, one after the other, the
// pages of the shorter ones serve the longer ones.
func TestSlab_SizesChange(t *testing.T) {
	const n = 10_000
	var s slab
	refs := make([]uint32, n)
	for size := 350; size <= 700; size += 50 {
		for i := range refs {
			refs[i] = s.set(refs[i], bytes.Repeat([]byte{byte(i)}, size))
		}
		if got, limit := s.bytes(), n*(size+slabUnit)*105/100+3*slabPages; got > limit {
			t.Errorf("%d strings of %d bytes take %d, want %d at most", n, size, got, limit)
		}
	}
	for i, ref := range refs {
		if !s.equal(ref, 700, string(bytes.Repeat([]byte{byte(i)}, 700))) {
			t.Fatalf("string %d is damaged", i)
		}
	}
}

func TestSlab_EqualComparesAllBytes(t *testing.T) {
	for _, size := range []int{1, 300, slabUnit * slabUnits, slabUnit*slabUnits + 1} {
		var s slab
		data := bytes.Repeat([]byte("a"), size)
		ref := s.set(0, data)
		for i := range data {
			other := bytes.Clone(data)
			other[i] ^= 1
			if s.equal(ref, len(data), string(other)) {
				t.Errorf("equal although byte %d of %d differs", i, size)
			}
		}
	}
}
