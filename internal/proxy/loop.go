package proxy

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"strconv"
	"strings"

	"reveille/internal/sipmsg"
)

// branchCookie starts every branch of RFC 3261 (§8.1.1.7).
const branchCookie = "z9hG4bK"

// loopHash is a hash over everything that decides where we send a request (RFC
// 5393 §4.2.1): the Request-URI and Route as they arrived, and what names the
// request. If a request comes back with the same hash in a Via of ours, we would
// only send it on the same way again.
func loopHash(m *sipmsg.Message) string {
	h := fnvOffset
	var digits [20]byte
	h = h.with(m.RequestURI().String())
	routes := m.Routes()
	for i := range routes {
		h = h.with(routes[i].URI.String())
	}
	h = h.with(m.CallID())
	h = h.with(string(strconv.AppendUint(digits[:0], uint64(m.CSeq().Seq), 10)))
	h = h.with(m.FromTag())
	h = h.with(m.ToTag())
	var sum [8]byte
	binary.BigEndian.PutUint64(sum[:], uint64(h))
	return hex.EncodeToString(sum[:])
}

// A fnvHash is one of FNV-1a with 64 bits on its way. That of hash/fnv wants a copy of
// each string.
type fnvHash uint64

const (
	fnvOffset fnvHash = 14695981039346656037
	fnvPrime  fnvHash = 1099511628211
)

// with adds s, with its length in front so that no two lists of strings look the same.
func (h fnvHash) with(s string) fnvHash {
	var length [20]byte
	for _, c := range strconv.AppendInt(length[:0], int64(len(s)), 10) {
		h = (h ^ fnvHash(c)) * fnvPrime
	}
	h = (h ^ ':') * fnvPrime
	for i := range len(s) {
		h = (h ^ fnvHash(s[i])) * fnvPrime
	}
	return h
}

// newBranch returns a branch parameter: unique, with the loop hash behind the
// last dot.
func newBranch(loop string) string {
	return branchCookie + rand.Text()[:16] + "." + loop
}

// looped reports whether m passed through us before and nothing that we decide
// by has changed since.
func (p *Proxy) looped(m *sipmsg.Message, loop string) bool {
	for _, v := range m.Vias() {
		branch := v.Branch()
		if !strings.HasPrefix(branch, branchCookie) || !strings.HasSuffix(branch, "."+loop) {
			continue
		}
		if p.ownVia(v) {
			return true
		}
	}
	return false
}
