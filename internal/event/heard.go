package event

import "context"

// A Hearer is a Sink that knows whether anybody would take an event like e: one of
// its struct and action with other values. Hears is asked very often.
type Hearer interface {
	Sink
	Hears(e Event) bool
}

// Heard reports whether anybody would take e, or an event of e's struct and
// action with other values, if it were given to s. Who makes very many events
// asks first. A Sink of an unknown kind hears everything.
func Heard(s Sink, e Event) bool {
	switch s := s.(type) {
	case Discard:
		return false
	case Log:
		return s.log.Enabled(context.Background(), e.level())
	case Fan:
		for _, one := range s {
			if Heard(one, e) {
				return true
			}
		}
		return false
	case Hearer:
		return s.Hears(e)
	}
	return true
}
