package registrar

import (
	"time"

	"reveille/internal/sipmsg"
	"reveille/purr"
	"reveille/usrloc"
)

// GRUU makes and recognises the user parts of temporary GRUUs (RFC 5627);
// *purr.Keyring implements it. It is safe for concurrent use.
type GRUU interface {
	// AppendTempGRUU appends another one for the device of b, a binding of user,
	// which is the user part of an AOR of at most purr.MaxGRUUUser bytes.
	AppendTempGRUU(dst []byte, user string, b *usrloc.Binding) []byte
	// OpenTempGRUU returns an error for what AppendTempGRUU did not make.
	OpenTempGRUU(user string) (purr.TempGRUU, error)
}

// gr is the URI parameter of a GRUU: with a value in public ones, without in
// temporary ones.
const gr = "gr"

// The Contact parameters that tell a phone its GRUUs.
const (
	pubGRUU  = "pub-gruu"
	tempGRUU = "temp-gruu"
)

// checkGRUU refuses contacts that lead back to us, or cannot have a GRUU.
func (p *Policy) checkGRUU(in *Input, pl *plan) error {
	if p.GRUU == nil {
		return nil
	}
	u := &pl.id.uri
	// RFC 5627 §5.1: a device with an instance has GRUUs, and a request to these
	// can be sent on to a SIP URI only.
	if pl.id.instance != "" && (!pl.id.valid || !u.IsSIP()) {
		return refuse(403, "Contact Is No SIP URI")
	}
	if !pl.id.valid || !u.IsSIP() {
		return nil
	}
	// RFC 5627 §5.1: a GRUU of the AOR would make a loop. A public one is the AOR
	// with a parameter and was refused as such; whose a temporary one is we do not
	// ask, for all are addresses of ours and none is where a phone is.
	if _, ok := u.Param(gr); !ok {
		return nil
	}
	_, own := splitAOR(string(in.AOR))
	_, host := splitAOR(string(p.aorOf(*u)))
	if _, err := p.GRUU.OpenTempGRUU(u.User); err == nil && host == own {
		return refuse(403, "Contact Is A GRUU")
	}
	return nil
}

// appendGRUUs appends what tells a phone its GRUUs to a Contact of the 200 (RFC
// 5627 §5.2). b has an instance.
func appendGRUUs(dst []byte, gruu GRUU, aor usrloc.AOR, b *usrloc.Binding) []byte {
	// RFC 5627 §5.1: the public one is the AOR and the instance. It needs no
	// table, and is the same for ever.
	dst = append(append(dst, `;pub-gruu="`...), aor...)
	dst = append(append(dst, ";gr="...), sipmsg.EscapeParam(b.Instance)...)
	dst = append(dst, '"')
	user, host := splitAOR(string(aor))
	if len(user) > purr.MaxGRUUUser {
		return dst
	}
	// RFC 5627 §5.1: another temporary one each time; those before stay good.
	dst = append(dst, `;temp-gruu="sip:`...)
	dst = gruu.AppendTempGRUU(dst, user, b)
	return append(append(append(dst, '@'), host...), `;gr"`...)
}

// gruuSet decides which set of temporary GRUUs pl's device has from now on. If it
// is another one, the bindings of the device's other flows get it too. found are
// the bindings that pl replaces, the surest first.
func (a *application) gruuSet(pl *plan, found []int) uint64 {
	if pl.id.instance == "" {
		return 0
	}
	ofDevice := func(b *usrloc.Binding) bool { return usrloc.SameInstance(b.Instance, pl.id.instance) }
	last, alive := uint64(0), false
	for i := range a.bindings {
		if b := &a.bindings[i]; ofDevice(b) {
			last, alive = max(last, b.GRUUSet), alive || !b.Expired(a.in.Now)
		}
	}
	// RFC 5627 §5.3: with the last contact of an instance its GRUUs are over. §5.1:
	// they are, too, when one comes back under another Call-ID.
	if over := len(found) > 0 && ofDevice(&a.bindings[found[0]]) && !a.bindings[found[0]].Expired(a.in.Now) &&
		a.bindings[found[0]].CallID != a.in.CallID; alive && !over {
		return last
	}
	next := nextGRUUSet(last, a.in.Now)
	for i := range a.bindings {
		if b := &a.bindings[i]; ofDevice(b) {
			b.GRUUSet = next
		}
	}
	return next
}

// nextGRUUSet returns the number of a set that begins at now: no instance had it
// before, even if all its bindings were gone meanwhile.
func nextGRUUSet(last uint64, now time.Time) uint64 {
	return max(last+1, uint64(max(now.UnixMilli(), 0)))
}
