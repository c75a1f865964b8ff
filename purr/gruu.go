package purr

import (
	"bytes"
	"encoding/binary"

	"reveille/usrloc"
)

// A TempGRUU is what the user part of a temporary GRUU stands for (RFC 5627
// §3.1.2): a device of a user, and one set of its temporary GRUUs.
//
// There is no table of them. A phone gets another one with each REGISTER, and
// all of a set stay good, over restarts too, until the phone begins another set
// or its last binding is gone (RFC 5627 §5.1, §5.3).
type TempGRUU struct {
	// User is the user part of the AOR, as it stands there; the GRUU has its host.
	User string
	set  uint64
}

// Layout of the payload, numbers big endian:
//
//	hash of instance and GRUU set u64 | user, filled up with zeros
//
// The user takes whole blocks, of which nearly all users need one: so the length
// of a GRUU does not tell two users apart (RFC 5627 §5.1).
const (
	gruuHashLen   = 8
	gruuUserBlock = 40 // a UUID has 36
)

// MaxGRUUUser is how many bytes of a user a temporary GRUU can hold.
const MaxGRUUUser = (MaxPayload - gruuHashLen) / gruuUserBlock * gruuUserBlock

// TempGRUULen is the length of the user part of a temporary GRUU in letters, for
// users of up to 40 bytes.
const TempGRUULen = ((overhead+gruuHashLen+gruuUserBlock)*8 + 4) / 5

// Of reports whether the GRUU is one of b's device, and of the set that counts
// now. b is a binding of the GRUU's AOR.
func (g TempGRUU) Of(b *usrloc.Binding) bool { return b.Instance != "" && g.set == hashGRUUSet(b) }

// AppendTempGRUU appends the user part of a new temporary GRUU to dst, another
// one on every call (RFC 5627 §5.4), for the device of b, which is a binding of
// user: of at most MaxGRUUUser bytes, without zeros. It allocates nothing if dst
// has room for TempGRUULen bytes and the user is no longer than that allows.
func (k *Keyring) AppendTempGRUU(dst []byte, user string, b *usrloc.Binding) []byte {
	buf := pool.Get().(*buffers)
	buf.plain = binary.BigEndian.AppendUint64(buf.plain[:0], hashGRUUSet(b))
	buf.plain = append(buf.plain, user...)
	for len(buf.plain) == gruuHashLen || (len(buf.plain)-gruuHashLen)%gruuUserBlock != 0 {
		buf.plain = append(buf.plain, 0)
	}
	dst = k.appendSeal(dst, GRUU, buf)
	pool.Put(buf)
	return dst
}

// OpenTempGRUU reads the user part of a temporary GRUU. The GRUU may be over: see
// Of. The error is ErrToken or ErrUnknownKey.
func (k *Keyring) OpenTempGRUU(user string) (TempGRUU, error) {
	buf := pool.Get().(*buffers)
	defer pool.Put(buf)
	if err := k.open(GRUU, user, buf); err != nil {
		return TempGRUU{}, err
	}
	if len(buf.plain) < gruuHashLen+gruuUserBlock {
		return TempGRUU{}, ErrToken // an older form
	}
	hash, name := buf.plain[:gruuHashLen], buf.plain[gruuHashLen:]
	return TempGRUU{User: string(bytes.TrimRight(name, "\x00")), set: binary.BigEndian.Uint64(hash)}, nil
}

// hashGRUUSet is FNV-1a of the instance, in lower case, and the set. Two sets of
// one user agree by chance once in 2^64; that a phone may choose instances which
// do harms nobody but its user.
func hashGRUUSet(b *usrloc.Binding) uint64 {
	h := uint64(14695981039346656037)
	add := func(c byte) { h = (h ^ uint64(c)) * 1099511628211 }
	for i := range len(b.Instance) {
		c := b.Instance[i]
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		add(c)
	}
	for n := range 8 {
		add(byte(b.GRUUSet >> (8 * n)))
	}
	return h
}
