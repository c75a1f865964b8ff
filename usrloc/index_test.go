package usrloc

import (
	"math/rand/v2"
	"reflect"
	"testing"
)

// TestIndex_AgainstMap adds and removes slots at random, with so few hashes that
// runs of equal ones wrap around the end of the table.
func TestIndex_AgainstMap(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 0))
		var x index
		model := make(map[uint32]uint32) // slot → hash
		shift := 32 - 2 - seed%8
		hashOf := func(slot uint32) uint32 { return slot * 0x9e3779b9 >> shift << shift }
		for step := range 2000 {
			slot := 1 + r.Uint32N(300)
			hash := hashOf(slot)
			_, there := model[slot]
			switch {
			case !there:
				x.add(hash, slot)
				model[slot] = hash
			case r.IntN(2) == 0:
				x.remove(hash, slot)
				delete(model, slot)
			}
			if x.used != len(model) {
				t.Fatalf("seed %d step %d: used = %d, want %d", seed, step, x.used, len(model))
			}
		}
		for slot := uint32(1); slot <= 300; slot++ {
			want := slot
			if _, there := model[slot]; !there {
				want = 0
			}
			if got := x.find(hashOf(slot), func(s uint32) bool { return s == slot }); got != want {
				t.Fatalf("seed %d: find(%d) = %d, want %d", seed, slot, got, want)
			}
		}
	}
}

func TestIndex_StaysAQuarterEmpty(t *testing.T) {
	var x index
	for slot := range uint32(5000) {
		x.add(slot*0x9e3779b9, slot+1)
		if free := len(x.places) - x.used; free*4 < len(x.places) {
			t.Fatalf("%d of %d places used", x.used, len(x.places))
		}
	}
}

func TestTable_ReusesNumbersZeroed(t *testing.T) {
	var tb table[[4]int]
	a, b := tb.alloc(), tb.alloc()
	if a == 0 || b == 0 || a == b {
		t.Fatalf("alloc = %d, %d, want different numbers that are not 0", a, b)
	}
	tb.at(a)[0], tb.at(b)[0] = 1, 2
	tb.release(a)
	if c := tb.alloc(); c != a || *tb.at(c) != [4]int{} {
		t.Errorf("alloc after release = %d holding %v, want %d and zero", c, *tb.at(c), a)
	}
	last := uint32(0)
	for range 3 * tableChunk {
		last = tb.alloc()
		tb.at(last)[0] = int(last)
	}
	if tb.at(b)[0] != 2 || tb.at(last)[0] != int(last) {
		t.Errorf("values moved when the table grew")
	}
}

// TestSlots_HaveNoPointers keeps the garbage collector out of the bindings.
func TestSlots_HaveNoPointers(t *testing.T) {
	var check func(reflect.Type)
	check = func(typ reflect.Type) {
		switch typ.Kind() {
		case reflect.Struct:
			for field := range typ.Fields() {
				check(field.Type)
			}
		case reflect.Array:
			check(typ.Elem())
		case reflect.Pointer, reflect.String, reflect.Slice, reflect.Map, reflect.Interface, reflect.Func, reflect.Chan, reflect.UnsafePointer:
			t.Errorf("a slot holds a %s", typ)
		}
	}
	check(reflect.TypeFor[bindingSlot]())
	check(reflect.TypeFor[aorSlot]())
}

// TestSlots_FillWholePages: the allocator rounds up to pages of 8 KiB, so that a
// larger slot may cost more than it has.
func TestSlots_FillWholePages(t *testing.T) {
	if n := tableChunk * reflect.TypeFor[bindingSlot]().Size() % 8192; n != 0 {
		t.Errorf("a chunk of bindingSlots leaves %d bytes of a page empty", 8192-n)
	}
}
