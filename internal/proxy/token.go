package proxy

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"strings"
	"time"

	"reveille/flow"
	"reveille/internal/sipmsg"
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
	// media is the call at a media engine; nil: there is none.
	media *mediaCall
}

const (
	dialogLen    = 8
	tokenVersion = 1
	// mediaVersion is the version of tokens of calls at a media engine.
	mediaVersion = 2
)

var errToken = errors.New("proxy: malformed token")

// dialogID is a hash of what the caller's side of a dialog keeps for its whole
// life: in a request of the caller tag is the From tag, in one of the callee
// the To tag.
func dialogID(callID, callerTag string) (id [dialogLen]byte) {
	var room [256]byte
	b := binary.BigEndian.AppendUint32(room[:0], uint32(len(callID)))
	b = append(append(b, callID...), callerTag...)
	sum := sha256.Sum256(b)
	copy(id[:], sum[:])
	return id
}

// Layout of a token, version 1: version u8 | dialog 8 | caller leg | callee leg;
// a leg is the binding's 16 bytes (zero if none) and the flow's binary form. Version 2
// has the call at the media engine behind these.
func (t *token) seal(keys *purr.Keyring) string {
	b := make([]byte, 0, 128)
	if t.media != nil {
		b = append(b, mediaVersion)
	} else {
		b = append(b, tokenVersion)
	}
	b = append(b, t.dialog[:]...)
	for _, l := range [...]leg{t.caller, t.callee} {
		b = append(b, l.binding[:]...)
		b = l.flow.AppendBinary(b)
	}
	if t.media != nil {
		b = t.media.append(b)
	}
	return string(keys.AppendSeal(make([]byte, 0, 256), purr.RecordRoute, b))
}

func openToken(keys *purr.Keyring, s string) (*token, error) {
	var room [256]byte
	b, err := keys.AppendUnseal(room[:0], purr.RecordRoute, s)
	if err != nil {
		return nil, err
	}
	if len(b) < 1+dialogLen || b[0] != tokenVersion && b[0] != mediaVersion {
		return nil, errToken
	}
	t, version := &token{}, b[0]
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
	if version == mediaVersion {
		if t.media, err = parseMediaCall(b); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// destination returns the leg that a request with these tags is for. ok is false
// if the token was made for another dialog.
func (t *token) destination(callID, fromTag, toTag string) (to leg, ok bool) {
	switch t.dialog {
	case dialogID(callID, fromTag):
		return t.callee, true
	case dialogID(callID, toTag):
		return t.caller, true
	}
	return leg{}, false
}

// callerLeg finds the caller's own binding, so that requests of the callee find
// the caller's phone even if it moves or falls asleep in the call. A sender that
// did not authenticate counts as the user in From only on the very flow on which
// that user's phone registered.
func (p *Proxy) callerLeg(m *sipmsg.Message, user usrloc.AOR, from flow.Flow) leg {
	l := leg{flow: from}
	authenticated := user != ""
	if !authenticated {
		var ok bool
		if user, ok = p.aorOf(m.From().URI); !ok {
			return l
		}
	}
	rec, err := p.opts().Store.Get(context.Background(), user)
	if err != nil {
		return l
	}
	now := time.Now()
	for i := range rec.Bindings {
		b := &rec.Bindings[i]
		if b.Expired(now) {
			continue
		}
		if b.Flow == from || contactFlow(b) == from {
			l.binding = b.ID
			return l
		}
		if authenticated && l.binding.IsZero() && sameContact(m, b.Contact) {
			l.binding = b.ID
		}
	}
	return l
}

// sameContact reports whether m's Contact is at the address of a registered one.
// Parameters differ in practice: phones leave their push data out of calls.
func sameContact(m *sipmsg.Message, registered string) bool {
	contacts := m.Contacts()
	if len(contacts) != 1 {
		return false
	}
	u, err := sipmsg.ParseURI(registered)
	c := contacts[0].URI
	return err == nil && u.User == c.User && strings.EqualFold(u.Host, c.Host) && u.Port == c.Port
}
