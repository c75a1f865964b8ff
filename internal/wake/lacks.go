package wake

import (
	"errors"

	"reveille/internal/event"
	"reveille/push"
	"reveille/usrloc"
)

// NotSent is a word for why a push was not even tried, from the error of Wake or of
// push.Dispatcher.Submit. push/explain knows it.
func NotSent(err error) string {
	switch {
	case errors.Is(err, push.ErrNoApp):
		return "NoApp"
	case errors.Is(err, push.ErrQueueFull):
		return "QueueFull"
	case errors.Is(err, push.ErrClosed):
		return "Closed"
	case errors.Is(err, ErrDead):
		return "DeadToken"
	case errors.Is(err, ErrTooOften):
		return "TooOften"
	}
	return "BadParameters"
}

// Lacks is a word for why nothing can wake the device of b, as in event.Sleeper; empty
// if Can reports that something can.
func (w *Waker) Lacks(b *usrloc.Binding) string {
	if b.Push.PRID == "" {
		return "NoToken"
	}
	switch d, err := w.device(b); {
	case err != nil:
		return NotSent(err)
	case !w.dispatcher.Supports(d.params):
		return "NoApp"
	}
	return ""
}

// tries is how the events name the attempts of a push.
func tries(list []push.Try) []event.Try {
	if len(list) == 0 {
		return nil
	}
	all := make([]event.Try, len(list))
	for i, t := range list {
		all[i] = event.Try{Began: t.Began, Took: t.Took, Class: t.Class.String(), Reason: t.Reason, Status: t.Status}
	}
	return all
}
