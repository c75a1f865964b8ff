package wake

import (
	"encoding/json"
	"strings"

	"reveille/internal/event"
	"reveille/internal/sipmsg"
	"reveille/usrloc"
)

// Registration is the event of one change of a binding. action is what happened, as
// event.Registration names it.
func Registration(c *usrloc.Change, action string) event.Registration {
	b := c.New
	if b == nil {
		b = c.Old
	}
	return event.Registration{
		Action: action, Cause: c.Cause.String(), AOR: string(c.AOR), Binding: b.ID.String(),
		Contact: WithoutPush(b.Contact, b.Push.PRID), Received: b.Received, Path: b.Path, Q: int(b.Q),
		UserAgent: b.UserAgent, Methods: strings.Join(b.Methods.Names(), ", "),
		Instance: b.Instance, RegID: b.RegID, Attributes: attributes(b), Provider: b.Push.Provider, Param: b.Push.Param, Wakeable: !b.Push.IsZero(),
		CallID: b.CallID, CSeq: b.CSeq, Flow: b.Flow, Created: b.Created, Expires: b.Expires,
	}
}

// attributes are those of b, nil if there are none.
func attributes(b *usrloc.Binding) (all map[string]string) {
	if b.Attributes == "" || json.Unmarshal([]byte(b.Attributes), &all) != nil {
		return nil
	}
	return all
}

// WithoutPush returns a Contact URI without its push parameters (RFC 8599 §13), by
// whatever name it holds prid; empty if it is no URI.
func WithoutPush(raw, prid string) string {
	u, err := sipmsg.ParseURI(raw)
	if err != nil {
		return ""
	}
	return u.WithoutPush(u.Telling(prid))
}
