package hook

import (
	"encoding/json"
	"errors"
	"fmt"
)

// A Registration asks whether a phone may register. Its sender has authenticated.
type Registration struct {
	// Event is set by AskRegister.
	Event string `json:"event"`
	// AOR is the address that is registered, User the name that authenticated; it
	// is empty where nobody must.
	AOR  string `json:"aor"`
	User string `json:"user,omitempty"`
	// Source is address and port of the sender, Transport such as UDP.
	Source    string    `json:"source"`
	Transport string    `json:"transport"`
	UserAgent string    `json:"user_agent,omitempty"`
	Contacts  []Contact `json:"contacts"`
	// Attributes are what header fields say of the phone: a JSON object of strings.
	Attributes json.RawMessage `json:"attributes,omitempty"`
}

// A Contact is one that is to be registered or, with 0 Expires, removed.
type Contact struct {
	// URI has no push parameters: who knows them can wake the phone.
	URI string `json:"uri"`
	// Expires is the lifetime in seconds that the phone asks for; nil: it leaves
	// that open.
	Expires  *uint32 `json:"expires,omitempty"`
	Instance string  `json:"instance,omitempty"`
	// PushProvider is the pn-provider, empty for a phone that no push wakes.
	PushProvider string `json:"push_provider,omitempty"`
}

// A Permission is the answer to a Registration.
type Permission struct {
	// Allow must be there.
	Allow *bool `json:"allow"`
	// Status and Reason are those of the refusal: 400 to 699 but no challenge; 403
	// if Status is 0. They mean nothing if Allow is true.
	Status int    `json:"status"`
	Reason string `json:"reason"`
	// MaxContacts bounds the contacts of the AOR, 0 to 100, MaxExpires the
	// lifetime in seconds; 0 leaves what is configured.
	MaxContacts int    `json:"max_contacts"`
	MaxExpires  uint32 `json:"max_expires"`
	// Attributes are kept with the contacts, in place of those that were; nil leaves
	// these.
	Attributes *Attributes `json:"attributes"`
}

// Attributes are what is said of a phone, for others to read.
type Attributes map[string]string

// Bounds of Attributes, the second in bytes of all names and values.
const (
	maxAttributes    = 16
	maxAttributeText = 1024
)

// check reports why they are not kept.
func (a Attributes) check() error {
	size := 0
	for name, value := range a {
		size += len(name) + len(value)
	}
	if len(a) > maxAttributes || size > maxAttributeText {
		return fmt.Errorf("more than %d attributes or %d bytes of them", maxAttributes, maxAttributeText)
	}
	return nil
}

// AskRegister asks q and calls done exactly once, inline or on a goroutine of the
// Client, on which it must not wait. Without an error the Permission is complete
// and within its bounds.
func (c *Client) AskRegister(q Registration, done func(Permission, error)) {
	q.Event = "register"
	ask(c, q, done)
}

// maxContacts is how many contacts an AOR can have.
const maxContacts = 100

func (p *Permission) check() error {
	switch {
	case p.Allow == nil:
		return errors.New("without allow")
	case p.MaxContacts < 0 || p.MaxContacts > maxContacts:
		return fmt.Errorf("max_contacts is not between 0 and %d", maxContacts)
	case *p.Allow && p.Attributes != nil:
		return p.Attributes.check()
	case *p.Allow:
		return nil
	}
	if p.Status == 0 {
		p.Status = 403
	}
	return checkRefusal(p.Status, p.Reason)
}

func (p *Permission) result() string {
	if *p.Allow {
		return "allowed"
	}
	return "refused"
}

// maxReason bounds a reason phrase in bytes.
const maxReason = 128

// checkRefusal reports why status and reason cannot answer a SIP request.
func checkRefusal(status int, reason string) error {
	switch {
	case status < 400 || status > 699 || status == 401 || status == 407:
		// A challenge without a nonce leads nowhere.
		return errors.New("status is no refusal between 400 and 699")
	case len(reason) > maxReason:
		return fmt.Errorf("reason is longer than %d bytes", maxReason)
	}
	for i := range len(reason) {
		if c := reason[i]; c < ' ' || c == 0x7f {
			// It could end the status line.
			return errors.New("reason holds control characters")
		}
	}
	return nil
}
