package mailbox

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"time"

	"reveille/usrloc"
)

// A Message is a MESSAGE that waits for its user.
type Message struct {
	// AOR is the user.
	AOR usrloc.AOR
	// CallID, From and To name it in events; the latter two without parameters.
	CallID, From, To string
	// Kept is when it came, Until when it is of no more use.
	Kept, Until time.Time
	// Trusted, Asserted and Sender are what was known of the sender: whether it was
	// believed, the identity that trusted receivers are told, and what replaces From.
	Trusted          bool
	Asserted, Sender string
	// Request is the request as it is to be sent, but for what concerns the way:
	// without credentials, Route and push data.
	Request []byte
}

// A head is what the file has of a Message besides its user and the request. What SIP
// calls text need not be UTF-8, and JSON changes strings that are not.
type head struct {
	CallID   []byte    `json:"call_id"`
	From     []byte    `json:"from,omitempty"`
	To       []byte    `json:"to,omitempty"`
	Kept     time.Time `json:"kept"`
	Until    time.Time `json:"until"`
	Trusted  bool      `json:"trusted,omitempty"`
	Asserted []byte    `json:"asserted,omitempty"`
	Sender   []byte    `json:"sender,omitempty"`
}

// encode writes m as the length of its head, that as JSON, and the request.
func (m *Message) encode() ([]byte, error) {
	h, err := json.Marshal(head{
		CallID: []byte(m.CallID), From: []byte(m.From), To: []byte(m.To), Kept: m.Kept, Until: m.Until,
		Trusted: m.Trusted, Asserted: []byte(m.Asserted), Sender: []byte(m.Sender),
	})
	if err != nil {
		return nil, err
	}
	b := binary.AppendUvarint(make([]byte, 0, len(h)+len(m.Request)+binary.MaxVarintLen32), uint64(len(h)))
	return append(append(b, h...), m.Request...), nil
}

var errFormat = errors.New("no message in the form of this server")

// decodeMessage reads what encode wrote. The result has b's memory.
func decodeMessage(aor usrloc.AOR, b []byte) (Message, error) {
	n, used := binary.Uvarint(b)
	if used <= 0 || n > uint64(len(b)-used) {
		return Message{AOR: aor}, errFormat
	}
	var h head
	if err := json.Unmarshal(b[used:used+int(n)], &h); err != nil { //nolint:gosec // n is no more than a length.
		return Message{AOR: aor}, errFormat
	}
	return Message{
		AOR: aor, CallID: string(h.CallID), From: string(h.From), To: string(h.To), Kept: h.Kept, Until: h.Until,
		Trusted: h.Trusted, Asserted: string(h.Asserted), Sender: string(h.Sender), Request: b[used+int(n):], //nolint:gosec // See above.
	}, nil
}
