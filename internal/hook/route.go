package hook

import (
	"errors"
	"fmt"
)

// A Request asks where a call or message outside of a dialog goes. Its sender was
// admitted.
type Request struct {
	// Event is set by AskRoute.
	Event  string `json:"event"`
	Method string `json:"method"`
	// From is the address of the user who authenticated, empty for others; To the
	// Request-URI.
	From string `json:"from,omitempty"`
	To   string `json:"to"`
	// Trusted says that the sender is a peer that is believed.
	Trusted bool   `json:"trusted,omitempty"`
	CallID  string `json:"call_id"`
	// Source is address and port of the sender, Transport such as UDP.
	Source    string `json:"source"`
	Transport string `json:"transport"`
}

// Action is what becomes of a Request.
type Action string

// The actions.
const (
	// Continue sends it where it is addressed to.
	Continue Action = "continue"
	// ToTargets calls Targets instead.
	ToTargets Action = "targets"
	// ToRoute takes the route with that Name.
	ToRoute Action = "route"
	// Reject answers with Status and Reason.
	Reject Action = "reject"
)

// A Direction is the answer to a Request. What does not belong to its Action means
// nothing.
type Direction struct {
	Action Action `json:"action"`
	// Targets are 1 to 32 SIP URIs.
	Targets []string `json:"targets"`
	// Name is that of a route.
	Name string `json:"name"`
	// Status and Reason are those of the refusal: 400 to 699 but no challenge; 403
	// if Status is 0.
	Status int    `json:"status"`
	Reason string `json:"reason"`
}

// AskRoute asks q and calls done exactly once, inline or on a goroutine of the
// Client, on which it must not wait. Without an error the Direction is complete
// and within its bounds; what targets and names mean is not known here.
func (c *Client) AskRoute(q Request, done func(Direction, error)) {
	q.Event = "route"
	ask(c, q, done)
}

// maxTargets bounds the targets of one call.
const maxTargets = 32

func (d *Direction) check() error {
	switch d.Action {
	case Continue:
		return nil
	case ToTargets:
		if len(d.Targets) == 0 || len(d.Targets) > maxTargets {
			return fmt.Errorf("targets are not 1 to %d", maxTargets)
		}
		return nil
	case ToRoute:
		if d.Name == "" {
			return errors.New("route without name")
		}
		return nil
	case Reject:
		if d.Status == 0 {
			d.Status = 403
		}
		return checkRefusal(d.Status, d.Reason)
	default:
		return errors.New("action is none of continue, targets, route, reject")
	}
}

func (d *Direction) result() string { return string(d.Action) }
