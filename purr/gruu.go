package purr

import (
	"encoding/binary"

	"reveille/usrloc"
)

// A TempGRUU is what the user part of a temporary GRUU stands for (RFC 5627
// §3.1.2): a binding, and the Call-ID under which it was registered then.
//
// There is no table of them. A phone gets another one with each REGISTER, and
// all stay good, over restarts too, until its Call-ID changes or its binding is
// gone (RFC 5627 §5.1, §5.3).
type TempGRUU struct {
	Binding usrloc.BindingID
	callID  uint64
}

// Layout of the payload: binding id | hash of the Call-ID u64 (big endian).
const gruuSize = len(usrloc.BindingID{}) + 8

// TempGRUULen is the length of the user part of a temporary GRUU in letters.
const TempGRUULen = ((overhead+gruuSize)*8 + 4) / 5

// Valid reports whether the GRUU was made under callID, that of the last
// REGISTER of its binding. RFC 5627 §5.1: another Call-ID ends all GRUUs before
// it.
func (g TempGRUU) Valid(callID string) bool { return g.callID == hashCallID(callID) }

// AppendTempGRUU appends the user part of a new temporary GRUU to dst, another
// one on every call (RFC 5627 §5.4). It allocates nothing if dst has room for
// TempGRUULen bytes.
func (k *Keyring) AppendTempGRUU(dst []byte, id usrloc.BindingID, callID string) []byte {
	b := pool.Get().(*buffers)
	b.plain = append(b.plain[:0], id[:]...)
	b.plain = binary.BigEndian.AppendUint64(b.plain, hashCallID(callID))
	dst = k.appendSeal(dst, GRUU, b)
	pool.Put(b)
	return dst
}

// OpenTempGRUU reads the user part of a temporary GRUU. The GRUU may be over:
// see Valid, and the binding may be gone. The error is ErrToken or
// ErrUnknownKey.
func (k *Keyring) OpenTempGRUU(user string) (TempGRUU, error) {
	if len(user) != TempGRUULen {
		return TempGRUU{}, ErrToken
	}
	b := pool.Get().(*buffers)
	defer pool.Put(b)
	if err := k.open(GRUU, user, b); err != nil {
		return TempGRUU{}, err
	}
	var g TempGRUU
	g.callID = binary.BigEndian.Uint64(b.plain[copy(g.Binding[:], b.plain):])
	return g, nil
}

// hashCallID is FNV-1a. Two Call-IDs of one phone agree by chance once in 2^64;
// that a phone may choose two which do harms nobody but itself.
func hashCallID(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}
