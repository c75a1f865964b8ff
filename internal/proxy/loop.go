package proxy

import (
	"crypto/rand"
	"encoding/hex"
	"hash/fnv"
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
	h := fnv.New64a()
	write := func(s string) {
		h.Write([]byte(strconv.Itoa(len(s))))
		h.Write([]byte{':'})
		h.Write([]byte(s))
	}
	write(m.RequestURI().String())
	for _, r := range m.Routes() {
		write(r.URI.String())
	}
	write(m.CallID())
	write(strconv.FormatUint(uint64(m.CSeq().Seq), 10))
	write(m.FromTag())
	write(m.ToTag())
	var sum [8]byte
	return hex.EncodeToString(h.Sum(sum[:0]))
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
