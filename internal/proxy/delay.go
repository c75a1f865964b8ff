package proxy

import (
	"strconv"
	"time"

	"reveille/internal/sipmsg"
)

// maxAskedDelay bounds what a phone may ask for with pn-timeout.
const maxAskedDelay = 10 * time.Second

// raceDelay is how long Race waits for a sign of life from the device before it is
// pushed to. pn-timeout, which Linphone's apps write into their Contact, is how many
// seconds the phone wants to have for that. What is shorter than ours is not taken:
// an app that is awake and gets a push shows a call twice.
func (b *branch) raceDelay() time.Duration {
	d := b.fork.raceDelay()
	u, err := sipmsg.ParseURI(b.target.binding.Contact)
	if err != nil {
		return d
	}
	value, _ := u.Param("pn-timeout")
	if s, err := strconv.ParseUint(value, 10, 16); err == nil {
		d = max(d, min(time.Duration(s)*time.Second, maxAskedDelay))
	}
	return d
}
