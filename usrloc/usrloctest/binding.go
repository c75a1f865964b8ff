package usrloctest

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"time"

	"reveille/flow"
	"reveille/usrloc"
)

// AOR returns the i-th address of record of a made-up domain.
func AOR(i int) usrloc.AOR { return usrloc.AOR(fmt.Sprintf("sip:user%07d@example.com", i)) }

// ID returns the i-th binding identity of aor, the same in every run.
func ID(aor usrloc.AOR, i int) usrloc.BindingID {
	var seed [4]byte
	binary.BigEndian.PutUint32(seed[:], uint32(i))
	sum := sha256.Sum256(append(seed[:], aor...))
	id, err := usrloc.NewBindingID(aor, bytes.NewReader(sum[:]))
	if err != nil {
		panic(err) // 32 bytes are enough for any identity
	}
	return id
}

// Binding returns the i-th binding of aor: a phone that can be woken, as long as
// they are in the field (Contact about 290 bytes), registered at now for an hour.
func Binding(aor usrloc.AOR, i int, now time.Time) usrloc.Binding {
	id := ID(aor, i)
	token := hex.EncodeToString(id[:]) + hex.EncodeToString(id[:]) + hex.EncodeToString(id[:]) // 96
	token = token[:11] + ":" + token[11:] + "-" + token[:42]
	instance := fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
	b := usrloc.Binding{
		ID: id,
		Contact: fmt.Sprintf("sip:%x@198.51.100.%d:%d;transport=tls;ob;pn-provider=fcm;pn-param=my-voip-project;pn-prid=%s;pn-timeout=0;pn-silent=1",
			id[8:], id[15], 1024+i%60000, token),
		Params:      fmt.Sprintf(`;+sip.instance="<%s>";reg-id=1;+sip.pnsreg`, instance),
		Q:           usrloc.QUnset,
		CallID:      fmt.Sprintf("%x-%x", id[2:10], id[2:8]),
		CSeq:        uint32(i),
		Created:     now,
		Updated:     now,
		Expires:     now.Add(time.Hour),
		RetainUntil: now.Add(time.Hour),
		RefreshAt:   now.Add(50 * time.Minute),
		Flow: flow.Flow{
			Incarnation: 0x1234567890abcdef,
			Listener:    "public-tls",
			Transport:   flow.TLS,
			Remote:      netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, 100, id[15]}), uint16(1024+i%60000)),
			Conn:        uint64(i + 1),
		},
		UserAgent: fmt.Sprintf("Reveille-Phone/5.%d (Android 14)", i%20),
		Methods:   usrloc.ParseMethods("INVITE, ACK, CANCEL, BYE, OPTIONS, MESSAGE"),
		Instance:  instance,
		RegID:     1,
		GRUUSet:   uint64(now.UnixMilli()),
		Push:      usrloc.Push{Provider: "fcm", Param: "my-voip-project", PRID: token, SelfWaking: true},
	}
	return b
}

// Put returns an Update function that replaces the bindings with the same IDs
// and appends the others.
func Put(bindings ...usrloc.Binding) func(usrloc.Record) (usrloc.Record, error) {
	return func(rec usrloc.Record) (usrloc.Record, error) {
		out := append([]usrloc.Binding(nil), rec.Bindings...)
		for _, b := range bindings {
			r := usrloc.Record{Bindings: out}
			if old := r.Find(b.ID); old != nil {
				*old = b
			} else {
				out = append(out, b)
			}
		}
		rec.Bindings = out
		return rec, nil
	}
}

// Remove returns an Update function that takes away the bindings with these IDs.
func Remove(cause usrloc.Cause, ids ...usrloc.BindingID) func(usrloc.Record) (usrloc.Record, error) {
	return func(rec usrloc.Record) (usrloc.Record, error) {
		var out []usrloc.Binding
	next:
		for _, b := range rec.Bindings {
			for _, id := range ids {
				if b.ID == id {
					continue next
				}
			}
			out = append(out, b)
		}
		rec.Bindings, rec.Cause = out, cause
		return rec, nil
	}
}

// First returns a function for Touch that has fn change the first binding of an
// AOR; fn reports whether it shall be changed.
func First(fn func(*usrloc.Binding) bool) func([]usrloc.Binding) int {
	return func(all []usrloc.Binding) int {
		if !fn(&all[0]) {
			return -1
		}
		return 0
	}
}

// Keep is an Update function that changes nothing.
func Keep(rec usrloc.Record) (usrloc.Record, error) { return rec, nil }
