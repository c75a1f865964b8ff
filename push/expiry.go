package push

import "time"

// An Expiring is a Sender whose credential has an end, such as a certificate.
type Expiring interface {
	Sender
	// NotAfter is when the credential ends; zero: it does not.
	NotAfter() time.Time
}

// An Expiry says whose credential has ended, and when. It is zero if none has.
type Expiry struct {
	// App is the app's name.
	App string
	At  time.Time
}

// expiry is that of the lane's credential at now.
func (l *lane) expiry(now time.Time) Expiry {
	s, ok := l.app.Sender.(Expiring)
	if !ok {
		return Expiry{}
	}
	if at := s.NotAfter(); !at.IsZero() && now.After(at) {
		return Expiry{l.app.Name, at}
	}
	return Expiry{}
}

// expiredBy reports whether an outcome may come of a credential that has ended: the push
// service says no, or ends the connection before it says anything.
func (c Class) expiredBy() bool { return c == Credential || c == Network }
