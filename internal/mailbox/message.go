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
	AOR usrloc.AOR `json:"-"`
	// CallID, From and To name it in events; the latter two without parameters.
	CallID string `json:"call_id"`
	From   string `json:"from,omitempty"`
	To     string `json:"to,omitempty"`
	// Kept is when it came, Until when it is of no more use.
	Kept  time.Time `json:"kept"`
	Until time.Time `json:"until"`
	// Trusted, Asserted and Sender are what was known of the sender: whether it was
	// believed, the identity that trusted receivers are told, and what replaces From.
	Trusted  bool   `json:"trusted,omitempty"`
	Asserted string `json:"asserted,omitempty"`
	Sender   string `json:"sender,omitempty"`
	// Request is the request as it is to be sent, but for what concerns the way:
	// without credentials, Route and push data.
	Request []byte `json:"-"`
}

// encode writes m as the length of its JSON form, that, and the request.
func (m *Message) encode() ([]byte, error) {
	head, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	b := binary.AppendUvarint(make([]byte, 0, len(head)+len(m.Request)+binary.MaxVarintLen32), uint64(len(head)))
	return append(append(b, head...), m.Request...), nil
}

var errFormat = errors.New("no message in the form of this server")

// decodeMessage reads what encode wrote. The result has b's memory.
func decodeMessage(aor usrloc.AOR, b []byte) (Message, error) {
	m := Message{AOR: aor}
	n, used := binary.Uvarint(b)
	if used <= 0 || n > uint64(len(b)-used) {
		return m, errFormat
	}
	head, request := b[used:used+int(n)], b[used+int(n):] //nolint:gosec // n is no more than a length.
	if err := json.Unmarshal(head, &m); err != nil {
		return m, errFormat
	}
	m.Request = request
	return m, nil
}
