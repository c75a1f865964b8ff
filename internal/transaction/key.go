package transaction

import (
	"encoding/binary"
	"hash/maphash"
	"strconv"
	"strings"

	"reveille/internal/sipmsg"
)

// magicCookie begins every branch that is unique by itself (RFC 3261 §8.1.1.7).
const magicCookie = "z9hG4bK"

// A serverKey finds the server transactions that a request may belong to.
// Several share a key: an INVITE and its CANCEL always do, so the transactions
// of a key form a chain and are told apart by sameRequest.
//
// Of a request with an RFC 3261 branch it holds the branch and sent-by; else the
// whole top Via value and the Call-ID (RFC 3261 §17.2.3).
type serverKey struct {
	branch, host, port string
}

// keyOf returns the key of a request. old says that the request's branch is not
// unique by itself and that sameRequest must compare more.
func keyOf(m *sipmsg.Message) (key serverKey, old bool) {
	via := m.TopVia()
	branch := via.Branch()
	// The cookie alone names nothing (RFC 4475 §3.2.1 sends one).
	if len(branch) > len(magicCookie) && strings.HasPrefix(branch, magicCookie) {
		return serverKey{branch, via.Host, via.Port}, false
	}
	return serverKey{branch: via.String(), host: m.CallID()}, true
}

// sameRequest reports whether m, whose key equals that of s, is the request of s
// once more, or the ACK to its final response.
func (s *Server) sameRequest(m *sipmsg.Message, old bool) bool {
	ack := m.Method() == "ACK"
	if s.m.Method() != m.Method() && !(ack && s.invite()) {
		return false
	}
	if !old {
		return true
	}
	// RFC 3261 §17.2.3: Request-URI, tags and CSeq number too. The To tag of an
	// ACK is that of our response instead.
	tag := s.m.ToTag()
	if ack {
		tag = s.toTag()
	}
	return s.m.CSeq().Seq == m.CSeq().Seq && s.m.FromTag() == m.FromTag() && tag == m.ToTag() &&
		s.m.RequestURI().String() == m.RequestURI().String()
}

// match returns the transaction that the request m belongs to, or nil.
func (q *Queue) match(m *sipmsg.Message) *Server {
	key, old := keyOf(m)
	for s := q.servers[key]; s != nil; s = s.chain {
		if s.sameRequest(m, old) {
			return s
		}
	}
	return nil
}

// matchCancelled returns the transaction that a CANCEL is about, or nil.
func (q *Queue) matchCancelled(cancel *sipmsg.Message) *Server {
	key, old := keyOf(cancel)
	for s := q.servers[key]; s != nil; s = s.chain {
		// RFC 3261 §9.2: a request with any method but CANCEL and ACK. ACK has no
		// transaction.
		if s.m.Method() == "CANCEL" {
			continue
		}
		if !old || s.m.CSeq().Seq == cancel.CSeq().Seq && s.m.FromTag() == cancel.FromTag() {
			return s
		}
	}
	return nil
}

// link adds s to the chain of its key.
func (q *Queue) link(s *Server) {
	key, _ := keyOf(s.m)
	s.chain = q.servers[key]
	q.servers[key] = s
}

// unlink takes s out of the chain of its key.
func (q *Queue) unlink(s *Server) {
	key, _ := keyOf(s.m)
	first := q.servers[key]
	if first == s {
		if s.chain == nil {
			delete(q.servers, key)
		} else {
			q.servers[key] = s.chain
		}
		return
	}
	for t := first; t != nil; t = t.chain {
		if t.chain == s {
			t.chain = s.chain
			return
		}
	}
}

// A clientKey finds a client transaction: branch and method (RFC 3261 §17.1.3).
// The branch is ours and therefore unique; the method tells the INVITE from its
// CANCEL.
type clientKey struct {
	branch, method string
}

// tag returns the To tag of our own answers to m. It follows from m alone, so
// that an answer that was not kept is the same the next time (RFC 3261 §8.2.7),
// and so that the ACK and the CANCEL of an INVITE lead to the INVITE's tag.
func (l *Layer) tag(m *sipmsg.Message) string {
	return string(l.AppendTag(nil, m.TopVia().Branch(), m.CallID(), m.FromTag(), m.CSeq().Seq))
}

// AppendTag appends that tag for who answers a request without the layer, from
// the branch of its top Via, its Call-ID, From tag and CSeq number.
func (l *Layer) AppendTag(dst []byte, branch, callID, fromTag string, cseq uint32) []byte {
	var h maphash.Hash
	h.SetSeed(l.seed)
	for _, s := range [...]string{branch, callID, fromTag} {
		h.WriteString(s)
		h.WriteByte(0)
	}
	var seq [4]byte
	binary.BigEndian.PutUint32(seq[:], cseq)
	h.Write(seq[:])
	return strconv.AppendUint(dst, h.Sum64(), 16)
}
