package usrloc

import "unsafe"

// A table keeps values of one size in chunks, addressed by a number that stays
// the same for as long as the value lives. With a T that has no pointers, it
// gives the garbage collector nothing to look at. Number 0 means "none".
//
// A table grows and never shrinks. It is not safe for concurrent use.
type table[T any] struct {
	chunks [][]T
	used   uint32 // numbers handed out so far, plus the reserved 0
	free   []uint32
}

// tableChunk makes a chunk of bindingSlots exactly five pages of the allocator's
// 8 KiB, which rounds up to whole ones.
const tableChunk = 256

// alloc returns the number of a zero value.
func (t *table[T]) alloc() uint32 {
	if n := len(t.free); n > 0 {
		i := t.free[n-1]
		t.free = t.free[:n-1]
		return i
	}
	t.used = max(t.used, 1)
	i := t.used
	if int(i/tableChunk) == len(t.chunks) {
		t.chunks = append(t.chunks, make([]T, tableChunk))
	}
	t.used++
	return i
}

// at returns the value with number i, valid until release.
func (t *table[T]) at(i uint32) *T { return &t.chunks[i/tableChunk][i%tableChunk] }

// release zeroes the value with number i and lets the number be used again.
func (t *table[T]) release(i uint32) {
	var zero T
	*t.at(i) = zero
	t.free = append(t.free, i)
}

// bytes is the memory that the table holds.
func (t *table[T]) bytes() int {
	var zero T
	return len(t.chunks)*tableChunk*int(unsafe.Sizeof(zero)) + 4*cap(t.free)
}
