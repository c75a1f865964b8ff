package rtpengine

import (
	"errors"
	"fmt"
	"strings"
)

// A Verb is what an engine is asked to do.
type Verb string

// The verbs. Offer begins a call or changes it, Answer completes that, Delete ends the
// call and frees its ports.
const (
	Offer  Verb = "offer"
	Answer Verb = "answer"
	Delete Verb = "delete"
	ping   Verb = "ping"
)

// A Command is one request to an engine.
type Command struct {
	Verb Verb
	// Call names the call there. It may hold any bytes.
	Call string
	// Offerer and Answerer are the tags of the two sides. That of the answerer is empty
	// while it is not known. Delete needs none.
	Offerer, Answerer string
	SDP               string
	// Receiver is the side that gets the SDP, Sender the one from which it comes; nil
	// leaves all to the engine.
	Receiver, Sender *Profile
}

func (c *Command) encode(b []byte) []byte {
	d := dict{"command": string(c.Verb)}
	switch c.Verb {
	case Offer, Answer:
		d["call-id"], d["from-tag"], d["sdp"] = c.Call, c.Offerer, c.SDP
		if c.Answerer != "" {
			d["to-tag"] = c.Answerer
		}
		if c.Receiver != nil {
			c.Receiver.write(d)
		}
		// An answer goes back by the interfaces of its offer.
		if c.Verb == Offer && c.Receiver != nil && c.Sender != nil && c.Receiver.Interface != "" && c.Sender.Interface != "" {
			d["direction"] = []string{c.Sender.Interface, c.Receiver.Interface}
		}
	case Delete:
		// Without tags it is for the whole call.
		d["call-id"] = c.Call
	case ping:
	}
	return appendValue(b, d)
}

// A RefusedError is an engine's word that it does not do what it was asked for.
type RefusedError struct {
	// Reason is the engine's, clipped.
	Reason string
}

func (e *RefusedError) Error() string { return fmt.Sprintf("refused by the engine: %q", e.Reason) }

// errReply is an answer that makes no sense.
var errReply = errors.New("malformed answer of an engine")

const (
	// maxSDP bounds the SDP of an answer. Browsers write some 5 KB for sound and
	// pictures; larger messages do not get far by UDP.
	maxSDP = 32 << 10
	// maxReason bounds what is logged of an engine's words.
	maxReason = 200
)

// parseReply reads the answer to a command with that verb and returns its SDP, which
// only offers and answers have.
func parseReply(verb Verb, body string) (sdp string, err error) {
	v, err := parseValue(body)
	if err != nil {
		return "", fmt.Errorf("%w: %w", errReply, err)
	}
	d, _ := v.(dict)
	result, _ := d["result"].(string)
	switch {
	case result == "error" || result == "load limit":
		// The second is what an engine with too many calls says.
		reason, _ := d["error-reason"].(string)
		if reason == "" {
			reason, _ = d["message"].(string)
		}
		return "", &RefusedError{Reason: reason[:min(len(reason), maxReason)]}
	case verb == ping && result == "pong", verb == Delete && result == "ok":
		return "", nil
	case verb == ping || verb == Delete || result != "ok":
		return "", errReply
	}
	sdp, _ = d["sdp"].(string)
	// RFC 8866 §5: the first line is the version. What follows is the business of
	// those who talk.
	if !strings.HasPrefix(sdp, "v=0\r\n") && !strings.HasPrefix(sdp, "v=0\n") || len(sdp) > maxSDP || strings.IndexByte(sdp, 0) >= 0 {
		return "", fmt.Errorf("%w: no SDP", errReply)
	}
	return sdp, nil
}
