package proxy

import (
	"reveille/usrloc"
)

// successor returns the binding under which the device of the binding id is found now.
// A phone with an instance or a push token keeps its binding wherever it goes; one that
// has neither makes another one when its address changes, and leaves the old one to
// its end. It is known by the Call-ID, which a phone keeps for all its REGISTERs (RFC
// 3261 §10.2): the binding that a later REGISTER of the same Call-ID made, and that
// did not renew the old one, is its new address. Contacts of one REGISTER never
// succeed each other, so that those of several devices stay apart.
func successor(rec *usrloc.Record, id usrloc.BindingID, v view) usrloc.BindingID {
	b := rec.Find(id)
	if b == nil || !nameless(b) || b.Flow.Stream() && v.alive(b.Flow) {
		return id
	}
	for i := range rec.Bindings {
		other := &rec.Bindings[i]
		if nameless(other) && !other.Expired(v.now) && other.CallID == b.CallID && other.CSeq > b.CSeq {
			b = other
		}
	}
	return b.ID
}

// nameless reports whether nothing but its Call-ID says which phone a binding is of.
func nameless(b *usrloc.Binding) bool {
	return b.Instance == "" && b.RegID == 0 && b.Push.Provider == "" && b.CallID != ""
}
