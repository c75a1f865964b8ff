package usrloc

import "encoding/binary"

// A slab keeps byte strings of any length in chains of equal blocks, inside a
// few large chunks without pointers, so that the garbage collector has nothing
// to look at however many there are. Because all blocks are equal, any free
// block serves any string: nothing is lost to fragmentation when the mix of
// lengths changes. The price is the link and half a block for each string, 34
// bytes on average and 4 more for each further block.
//
// A slab grows and never shrinks. It is not safe for concurrent use.
type slab struct {
	chunks [][]byte
	used   uint32 // blocks handed out so far, plus the reserved block 0
	free   uint32 // first free block, chained like a string; 0 if there is none
}

// A block is one cache line: the number of the next block of the chain (0 ends
// it), then the bytes.
const (
	blockSize   = 64
	blockLink   = 4
	chunkBlocks = 1024 // 64 KiB
)

// set stores data and returns where. It overwrites the chain that begins at ref
// (0 for none), which is longer or shorter afterwards. Empty data frees it.
func (s *slab) set(ref uint32, data []byte) uint32 {
	if len(data) == 0 {
		s.release(ref)
		return 0
	}
	if ref == 0 {
		ref = s.alloc()
	}
	for at := ref; ; {
		b := s.block(at)
		data = data[copy(b[blockLink:], data):]
		next := binary.NativeEndian.Uint32(b)
		if len(data) == 0 {
			binary.NativeEndian.PutUint32(b, 0)
			s.release(next)
			return ref
		}
		if next == 0 {
			next = s.alloc()
			binary.NativeEndian.PutUint32(b, next)
		}
		at = next
	}
}

// get appends the first n bytes of the string at ref to dst.
func (s *slab) get(dst []byte, ref uint32, n int) []byte {
	for n > 0 {
		b := s.block(ref)
		part := b[blockLink:min(blockLink+n, blockSize)]
		dst = append(dst, part...)
		n -= len(part)
		ref = binary.NativeEndian.Uint32(b)
	}
	return dst
}

// equal reports whether the string of n bytes at ref is want.
func (s *slab) equal(ref uint32, n int, want string) bool {
	if n != len(want) {
		return false
	}
	for want != "" {
		b := s.block(ref)
		part := b[blockLink:min(blockLink+len(want), blockSize)]
		if string(part) != want[:len(part)] {
			return false
		}
		want = want[len(part):]
		ref = binary.NativeEndian.Uint32(b)
	}
	return true
}

// release gives the chain at ref back; 0 is none.
func (s *slab) release(ref uint32) {
	for ref != 0 {
		b := s.block(ref)
		next := binary.NativeEndian.Uint32(b)
		binary.NativeEndian.PutUint32(b, s.free)
		s.free, ref = ref, next
	}
}

// alloc returns a block whose link is 0.
func (s *slab) alloc() uint32 {
	if ref := s.free; ref != 0 {
		b := s.block(ref)
		s.free = binary.NativeEndian.Uint32(b)
		binary.NativeEndian.PutUint32(b, 0)
		return ref
	}
	s.used = max(s.used, 1) // block 0 stays unused: it means "none"
	ref := s.used
	if int(ref/chunkBlocks) == len(s.chunks) {
		s.chunks = append(s.chunks, make([]byte, chunkBlocks*blockSize))
	}
	s.used++
	return ref
}

func (s *slab) block(ref uint32) []byte {
	at := ref % chunkBlocks * blockSize
	return s.chunks[ref/chunkBlocks][at : at+blockSize : at+blockSize]
}

// bytes is the memory that the slab holds.
func (s *slab) bytes() int { return len(s.chunks) * chunkBlocks * blockSize }
