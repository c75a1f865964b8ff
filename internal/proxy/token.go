package proxy

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"

	"reveille/flow"
	"reveille/purr"
	"reveille/usrloc"
)

// A leg is one side of a dialog: the binding of a registered device, which is
// found wherever it is now, or the flow of a peer that is not registered.
type leg struct {
	binding usrloc.BindingID
	flow    flow.Flow
}

// A token is what a Record-Route of ours says to ourselves. It is sealed: only
// we can read or make one, and it is bound to the dialog it was made for.
type token struct {
	// dialog ties the token to the Call-ID and the caller's tag, and tells the
	// two directions apart.
	dialog [dialogLen]byte
	caller leg
	callee leg
}

const (
	dialogLen    = 8
	tokenVersion = 1
)

var errToken = errors.New("proxy: malformed token")

// dialogID is a hash of what the caller's side of a dialog keeps for its whole
// life: in a request of the caller tag is the From tag, in one of the callee
// the To tag.
func dialogID(callID, callerTag string) (id [dialogLen]byte) {
	h := sha256.New()
	var n [4]byte
	binary.BigEndian.PutUint32(n[:], uint32(len(callID)))
	h.Write(n[:])
	h.Write([]byte(callID))
	h.Write([]byte(callerTag))
	copy(id[:], h.Sum(nil))
	return id
}

// Layout of a token, version 1: version u8 | dialog 8 | caller leg | callee leg;
// a leg is the binding's 16 bytes (zero if none) and the flow's binary form.
func (t *token) seal(keys *purr.Keyring) string {
	b := make([]byte, 0, 128)
	b = append(b, tokenVersion)
	b = append(b, t.dialog[:]...)
	for _, l := range [...]leg{t.caller, t.callee} {
		b = append(b, l.binding[:]...)
		b = l.flow.AppendBinary(b)
	}
	return keys.Seal(purr.RecordRoute, b)
}

func openToken(keys *purr.Keyring, s string) (*token, error) {
	b, err := keys.Unseal(purr.RecordRoute, s)
	if err != nil {
		return nil, err
	}
	if len(b) < 1+dialogLen || b[0] != tokenVersion {
		return nil, errToken
	}
	t := &token{}
	b = b[1+copy(t.dialog[:], b[1:]):]
	for _, l := range [...]*leg{&t.caller, &t.callee} {
		if len(b) < len(l.binding) {
			return nil, errToken
		}
		b = b[copy(l.binding[:], b):]
		if l.flow, b, err = flow.ParseBinary(b); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// destination returns the leg that a request with these tags is for, and the
// direction. ok is false if the token was made for another dialog.
func (t *token) destination(callID, fromTag, toTag string) (to leg, toCallee, ok bool) {
	if t.dialog == dialogID(callID, fromTag) {
		return t.callee, true, true
	}
	if toTag != "" && t.dialog == dialogID(callID, toTag) {
		return t.caller, false, true
	}
	return leg{}, false, false
}
