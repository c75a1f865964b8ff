package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
	"unsafe"

	"reveille/flow"
	"reveille/usrloc"
)

// The keys, all of which begin with a letter for their kind:
//
//	"b" id [16]    a binding
//	"r" id [16]    its last plain refresh, if there was one since the binding
//	"mformat"      formatVersion, one byte
//	"mversion"     u64: no Record had a greater Version
//
// An id begins with the partition of its AOR, so the bindings of one AOR stand
// in one partition, and refreshes in the order of their bindings. They are kept
// apart from them, so that what is rewritten often and what is not do not have
// to be compacted together.
const (
	prefixBinding = 'b'
	prefixRefresh = 'r'
	keyFormat     = "mformat"
	keyVersion    = "mversion"

	// formatVersion is the version of all that this file describes.
	formatVersion = 1
)

// idSize is the length of a BindingID.
const idSize = len(usrloc.BindingID{})

func appendKey(dst []byte, prefix byte, id usrloc.BindingID) []byte {
	return append(append(dst, prefix), id[:]...)
}

// partitionKey is the smallest key of a partition; 1<<16 is behind the last.
func partitionKey(prefix byte, partition int) []byte {
	if partition >= 1<<16 {
		return []byte{prefix + 1}
	}
	return []byte{prefix, byte(partition >> 8), byte(partition)}
}

func parseKey(key []byte) (usrloc.BindingID, error) {
	if len(key) != 1+idSize {
		return usrloc.BindingID{}, fmt.Errorf("parse key %x: %w", key, errRecord)
	}
	return usrloc.BindingID(key[1:]), nil
}

// errRecord says that a record does not have the form of this file.
var errRecord = errors.New("malformed record")

// appendBinding appends the value of a binding: uvarint length of the AOR, the
// AOR, and the form of usrloc.AppendBinding.
func appendBinding(dst []byte, aor usrloc.AOR, b *usrloc.Binding) []byte {
	dst = appendString(dst, string(aor))
	return usrloc.AppendBinding(dst, b)
}

// viewBinding is the inverse of appendBinding for the record with the given
// key's id. What it returns lies in data, and so do the strings of b.
func viewBinding(b *usrloc.Binding, id usrloc.BindingID, data []byte) (usrloc.AOR, error) {
	r := reader{rest: data}
	aor := usrloc.AOR(r.string())
	if r.bad || aor == "" {
		return "", fmt.Errorf("parse binding %s: %w", id, errRecord)
	}
	if err := usrloc.ViewBinding(b, r.rest); err != nil {
		return "", fmt.Errorf("parse binding %s: %w", id, err)
	}
	if b.ID != id || id.Partition() != usrloc.Partition(aor) {
		return "", fmt.Errorf("parse binding %s: it is %s of another address: %w", id, b.ID, errRecord)
	}
	return aor, nil
}

// isRefresh reports whether a refresh record can hold what makes b out of old.
// All other fields must be the same.
func isRefresh(old, b *usrloc.Binding) bool {
	return old.ID == b.ID && old.Contact == b.Contact && old.Params == b.Params && old.Q == b.Q &&
		old.Created.Equal(b.Created) && slices.Equal(old.Path, b.Path) && old.Received == b.Received &&
		old.UserAgent == b.UserAgent && old.Methods == b.Methods &&
		old.Instance == b.Instance && old.RegID == b.RegID && old.Attributes == b.Attributes && old.Push == b.Push
}

// The value of a refresh; times are Unix milliseconds, differences signed:
//
//	2 | updated u64 | expires-updated varint | retain-expires varint |
//	refresh-updated varint | incarnation u64 | conn, node, cseq uvarint each |
//	transport u8 | address | port u16 | call-id | listener | GRUU set uvarint
//
// The address is a string as netip.Addr.MarshalBinary writes it, zone included.
// Strings are a uvarint length and the bytes. Version 1, which is read and no
// longer written, ends before the GRUU set.
const (
	refreshVersion  = 2
	refreshVersion1 = 1
)

func appendRefresh(dst []byte, b *usrloc.Binding) []byte {
	be := binary.BigEndian
	updated, expires := b.Updated.UnixMilli(), b.Expires.UnixMilli()
	dst = be.AppendUint64(append(dst, refreshVersion), uint64(updated))
	dst = binary.AppendVarint(dst, expires-updated)
	dst = binary.AppendVarint(dst, b.RetainUntil.UnixMilli()-expires)
	dst = binary.AppendVarint(dst, b.RefreshAt.UnixMilli()-updated)
	dst = be.AppendUint64(dst, b.Flow.Incarnation)
	for _, v := range [...]uint64{b.Flow.Conn, uint64(b.Flow.Node), uint64(b.CSeq)} {
		dst = binary.AppendUvarint(dst, v)
	}
	dst = append(dst, uint8(b.Flow.Transport))
	addr := b.Flow.Remote.Addr()
	dst = binary.AppendUvarint(dst, uint64(addr.BitLen()/8+len(addr.Zone())))
	dst, _ = addr.AppendBinary(dst) // It never fails.
	dst = be.AppendUint16(dst, b.Flow.Remote.Port())
	dst = appendString(dst, b.CallID)
	dst = appendString(dst, b.Flow.Listener)
	return binary.AppendUvarint(dst, b.GRUUSet)
}

// applyRefresh sets in b what a refresh record holds. The strings of b lie in
// data afterwards.
func applyRefresh(b *usrloc.Binding, data []byte) error {
	r := reader{rest: data}
	version := r.byte()
	if version != refreshVersion && version != refreshVersion1 {
		r.bad = true
	}
	updated := int64(r.uint64())
	expires := updated + r.varint()
	retain := expires + r.varint()
	refresh := updated + r.varint()
	f := flow.Flow{Incarnation: r.uint64(), Conn: r.uvarint()}
	node, cseq := r.uvarint(), r.uvarint()
	f.Transport = flow.Transport(r.byte())
	var addr netip.Addr
	if err := addr.UnmarshalBinary(r.take(r.uvarint())); err != nil {
		r.bad = true
	}
	f.Remote = netip.AddrPortFrom(addr, uint16(r.byte())<<8|uint16(r.byte()))
	callID := r.string()
	f.Listener = r.string()
	set := b.GRUUSet
	if version != refreshVersion1 {
		set = r.uvarint()
	}
	if r.bad || len(r.rest) > 0 || node != uint64(uint32(node)) || cseq != uint64(uint32(cseq)) {
		return fmt.Errorf("parse refresh of binding %s: %w", b.ID, errRecord)
	}
	f.Node, b.CSeq = uint32(node), uint32(cseq)
	b.Flow, b.CallID, b.GRUUSet = f, callID, set
	b.Updated, b.Expires = milli(updated), milli(expires)
	b.RetainUntil, b.RefreshAt = milli(retain), milli(refresh)
	return nil
}

// milli is the time of a stored number, as a Store returns it.
func milli(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

func appendString(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// A reader takes fields off the front of a record. After the first malformed
// one, bad is set and everything reads as zero.
type reader struct {
	rest []byte
	bad  bool
}

// take returns the next n bytes, or nil.
func (r *reader) take(n uint64) []byte {
	if n > uint64(len(r.rest)) {
		r.rest, r.bad = nil, true
		return nil
	}
	field := r.rest[:n]
	r.rest = r.rest[n:]
	return field
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) uint64() uint64 {
	if b := r.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.rest, r.bad = nil, true
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *reader) varint() int64 {
	v := r.uvarint()
	return int64(v>>1) ^ -int64(v&1)
}

// string returns the next string, which lies in the record.
func (r *reader) string() string {
	b := r.take(r.uvarint())
	return unsafe.String(unsafe.SliceData(b), len(b))
}
