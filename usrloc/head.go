package usrloc

import (
	"encoding/binary"
	"net/netip"
	"time"

	"reveille/flow"
)

// A head is the part of a Binding that has a fixed size: all that a plain
// refresh changes (times, CSeq, flow), and the numbers that it does not. It has
// no pointers. Strings, the listener's name among them, are in the body.
//
// A refresh whose Call-ID, listener and other strings are unchanged can be
// written by changing a head in place.
type head struct {
	id          BindingID
	created     int64 // all times in Unix milliseconds
	updated     int64
	expires     int64
	retainUntil int64
	refreshAt   int64
	incarnation uint64
	conn        uint64
	node        uint32
	cseq        uint32
	regID       uint32
	q           int16
	port        uint16
	addr        [16]byte
	addrLen     uint8 // 0 no address, 4 or 16
	transport   uint8
	flags       uint8
	methods     uint16
	// place is the wheel's, in a bindingSlot, and no part of the binary form. It
	// lies here because the alignment leaves room for it.
	place uint16
}

const (
	flagSelfWaking = 1 << 0
	// flagPush: the binding can be woken. Set in a bindingSlot, not in the binary form.
	flagPush = 1 << 1
	// flagReceived: the body holds Received. flagGRUUSet: it holds GRUUSet.
	// flagAttributes: it holds Attributes.
	flagReceived   = 1 << 2
	flagGRUUSet    = 1 << 3
	flagAttributes = 1 << 4
)

// The binary form of a head, all numbers big endian:
//
//	id [16] | created i64 | updated i64 | expires i64 | retain until i64 | refresh at i64 |
//	incarnation u64 | conn u64 | node u32 | cseq u32 | reg-id u32 | q i16 | port u16 |
//	address [16] | address length u8 | transport u8 | flags u8 | methods u16
//
// Version 1 ends before the methods.
const (
	headSize  = headSize1 + 2
	headSize1 = 16 + 5*8 + 2*8 + 3*4 + 2*2 + 16 + 3
)

// noTime is the head's form of the zero time.
var noTime = time.Time{}.UnixMilli()

// fromMilli is the inverse of time.Time.UnixMilli for times in UTC without a
// fraction of a millisecond.
func fromMilli(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

func headOf(b *Binding) head {
	h := head{
		id:          b.ID,
		created:     b.Created.UnixMilli(),
		updated:     b.Updated.UnixMilli(),
		expires:     b.Expires.UnixMilli(),
		retainUntil: b.RetainUntil.UnixMilli(),
		refreshAt:   b.RefreshAt.UnixMilli(),
		incarnation: b.Flow.Incarnation,
		conn:        b.Flow.Conn,
		node:        b.Flow.Node,
		cseq:        b.CSeq,
		regID:       b.RegID,
		q:           int16(b.Q),
		port:        b.Flow.Remote.Port(),
		transport:   uint8(b.Flow.Transport),
		methods:     uint16(b.Methods),
	}
	if b.Push.SelfWaking {
		h.flags |= flagSelfWaking
	}
	if b.Received != "" {
		h.flags |= flagReceived
	}
	if b.GRUUSet != 0 {
		h.flags |= flagGRUUSet
	}
	if b.Attributes != "" {
		h.flags |= flagAttributes
	}
	switch addr := b.Flow.Remote.Addr(); {
	case addr.Is4():
		v4 := addr.As4()
		h.addrLen = uint8(copy(h.addr[:], v4[:]))
	case addr.IsValid():
		h.addr, h.addrLen = addr.As16(), 16
	}
	return h
}

// fill sets the fields of b that h carries; listener and zone come from the body.
func (h *head) fill(b *Binding, listener, zone string) {
	b.ID = h.id
	b.Created, b.Updated = fromMilli(h.created), fromMilli(h.updated)
	b.Expires, b.RetainUntil = fromMilli(h.expires), fromMilli(h.retainUntil)
	b.RefreshAt = fromMilli(h.refreshAt)
	b.CSeq, b.RegID, b.Q, b.Methods = h.cseq, h.regID, Q(h.q), Methods(h.methods)
	b.Push.SelfWaking = h.flags&flagSelfWaking != 0
	var addr netip.Addr
	switch h.addrLen {
	case 4:
		addr = netip.AddrFrom4([4]byte(h.addr[:4]))
	case 16:
		addr = netip.AddrFrom16(h.addr).WithZone(zone)
	}
	b.Flow = flow.Flow{
		Node:        h.node,
		Incarnation: h.incarnation,
		Listener:    listener,
		Transport:   flow.Transport(h.transport),
		Remote:      netip.AddrPortFrom(addr, h.port),
		Conn:        h.conn,
	}
}

func (h *head) append(dst []byte) []byte {
	be := binary.BigEndian
	dst = append(dst, h.id[:]...)
	for _, v := range [...]int64{h.created, h.updated, h.expires, h.retainUntil, h.refreshAt} {
		dst = be.AppendUint64(dst, uint64(v))
	}
	dst = be.AppendUint64(be.AppendUint64(dst, h.incarnation), h.conn)
	dst = be.AppendUint32(be.AppendUint32(be.AppendUint32(dst, h.node), h.cseq), h.regID)
	dst = be.AppendUint16(be.AppendUint16(dst, uint16(h.q)), h.port)
	dst = append(dst, h.addr[:]...)
	return be.AppendUint16(append(dst, h.addrLen, h.transport, h.flags), h.methods)
}

// parseHead reads the binary form; data has headSize or headSize1 bytes.
func parseHead(data []byte) (h head, err error) {
	be := binary.BigEndian
	data = data[copy(h.id[:], data):]
	for _, v := range [...]*int64{&h.created, &h.updated, &h.expires, &h.retainUntil, &h.refreshAt} {
		*v, data = int64(be.Uint64(data)), data[8:]
	}
	for _, v := range [...]*uint64{&h.incarnation, &h.conn} {
		*v, data = be.Uint64(data), data[8:]
	}
	for _, v := range [...]*uint32{&h.node, &h.cseq, &h.regID} {
		*v, data = be.Uint32(data), data[4:]
	}
	h.q, h.port, data = int16(be.Uint16(data)), be.Uint16(data[2:]), data[4:]
	data = data[copy(h.addr[:], data):]
	h.addrLen, h.transport, h.flags, data = data[0], data[1], data[2], data[3:]
	if len(data) > 0 {
		h.methods = be.Uint16(data)
	}
	if h.addrLen != 0 && h.addrLen != 4 && h.addrLen != 16 {
		return head{}, ErrBinary
	}
	return h, nil
}
