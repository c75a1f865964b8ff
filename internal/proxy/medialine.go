package proxy

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"net/netip"

	"reveille/internal/sipmsg"
)

// A mediaCall is a call at a media engine, as tokens know it.
type mediaCall struct {
	// id tells the branches of an INVITE apart.
	id mediaID
	// engine is where it stays.
	engine netip.AddrPort
	// caller and callee are the names of the profiles of both sides.
	caller, callee string
}

type mediaID [8]byte

// newMediaCall has no engine yet.
func newMediaCall() *mediaCall {
	c := &mediaCall{}
	binary.BigEndian.PutUint64(c.id[:], rand.Uint64())
	return c
}

// name is what the engine calls it. Its logs are searched by the Call-ID.
func (c *mediaCall) name(callID string) string { return callID + "-" + hex.EncodeToString(c.id[:]) }

// Layout in a token: id 8 | engine, caller, callee, each with its length u8 in front.
func (c *mediaCall) append(b []byte) []byte {
	b = append(b, c.id[:]...)
	// An AddrPort that is valid can always be written.
	engine, _ := c.engine.MarshalBinary()
	for _, s := range [...]string{string(engine), c.caller, c.callee} {
		b = append(append(b, byte(len(s))), s...)
	}
	return b
}

func parseMediaCall(b []byte) (*mediaCall, error) {
	c := &mediaCall{}
	if len(b) < len(c.id) {
		return nil, errToken
	}
	b = b[copy(c.id[:], b):]
	var fields [3]string
	for i := range fields {
		if len(b) == 0 || len(b) < 1+int(b[0]) {
			return nil, errToken
		}
		n := 1 + int(b[0])
		fields[i], b = string(b[1:n]), b[n:]
	}
	if err := c.engine.UnmarshalBinary([]byte(fields[0])); err != nil {
		return nil, errToken
	}
	c.caller, c.callee = fields[1], fields[2]
	return c, nil
}

// mediaSides returns the names of the profiles of those who send and get the request m
// of the dialog.
func (t *token) mediaSides(m *sipmsg.Message) (sender, receiver string) {
	if t.dialog == dialogID(m.CallID(), m.FromTag()) {
		return t.media.caller, t.media.callee
	}
	return t.media.callee, t.media.caller
}

// A mediaLine keeps in order what goes through the engine of one call, and what follows
// it: while an engine is asked about a message, the later ones of that call wait, be
// they for an engine or not. It lives on the queue of the call, and only as long as
// somebody uses it.
type mediaLine struct {
	lane *lane
	id   mediaID
	// busy: a step is under way; waiting are those behind it.
	busy    bool
	waiting []func(next func())
	// users are the requests that hold it; early are those of them that begin dialogs.
	users, early int
	// owed: an offer in a reliable 18x or a 2xx waits for its answer.
	owed bool
}

// maxMediaWaiting bounds the messages of one call that wait for an engine.
const maxMediaWaiting = 32

// mediaLine returns the line of a call, which is made if there is none.
func (l *lane) mediaLine(id mediaID) *mediaLine {
	line := l.media[id]
	if line == nil {
		line = &mediaLine{lane: l, id: id}
		l.media[id] = line
	}
	return line
}

// enter runs a step when those before it are done. It calls next once, when it is done
// itself. enter reports false if too many wait.
func (l *mediaLine) enter(step func(next func())) bool {
	switch {
	case !l.busy:
		l.run(step)
	case len(l.waiting) < maxMediaWaiting:
		l.waiting = append(l.waiting, step)
	default:
		return false
	}
	return true
}

func (l *mediaLine) run(step func(next func())) {
	l.busy = true
	step(func() {
		if len(l.waiting) == 0 {
			l.busy = false
			l.tidy()
			return
		}
		step := l.waiting[0]
		l.waiting = l.waiting[1:]
		l.run(step)
	})
}

// tidy forgets the line if nobody uses it.
func (l *mediaLine) tidy() {
	if l.users == 0 && !l.busy {
		delete(l.lane.media, l.id)
	}
}
