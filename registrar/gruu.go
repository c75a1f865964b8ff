package registrar

import (
	"strings"

	"reveille/internal/sipmsg"
	"reveille/purr"
	"reveille/usrloc"
)

// GRUU makes and recognises the user parts of temporary GRUUs (RFC 5627);
// *purr.Keyring implements it. It is safe for concurrent use.
type GRUU interface {
	// AppendTempGRUU appends another one for a binding that was registered under
	// callID.
	AppendTempGRUU(dst []byte, binding usrloc.BindingID, callID string) []byte
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
	_, host := splitAOR(string(in.AOR))
	if _, err := p.GRUU.OpenTempGRUU(u.User); err == nil && strings.EqualFold(u.Host, host) {
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
	// RFC 5627 §5.1: another temporary one each time; those before stay good.
	dst = append(dst, `";temp-gruu="sip:`...)
	dst = gruu.AppendTempGRUU(dst, b.ID, b.CallID)
	_, host := splitAOR(string(aor))
	return append(append(append(dst, '@'), host...), `;gr"`...)
}
