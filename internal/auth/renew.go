package auth

import (
	"context"
	"errors"
)

// A Renewer is a Recaller whose memory may be out of date: a password may be new,
// and so may a user.
type Renewer interface {
	Recaller
	// Doubt reports whether somebody may ask anew about a user whom Recall
	// remembers, because what it said does not fit what came. It says so seldom, for
	// whoever guesses a password causes doubt. It does not wait.
	Doubt(realm, user string) bool
	// Renew is Lookup, but asks whatever is remembered, and remembers the answer.
	Renew(ctx context.Context, realm, user string) (Credentials, error)
}

var _ Renewer = Sources(nil)

// Doubt implements Renewer, for the source that the user is from.
func (s Sources) Doubt(realm, user string) bool {
	for _, source := range s {
		r, ok := source.(Recaller)
		if !ok {
			return false
		}
		_, known, err := r.Recall(realm, user)
		renewer, ok := source.(Renewer)
		if ok && known && renewer.Doubt(realm, user) {
			return true
		}
		if !known || !errors.Is(err, ErrNoUser) {
			return false
		}
	}
	return false
}

// Renew implements Renewer. A source that is no Renewer has no memory of others.
func (s Sources) Renew(ctx context.Context, realm, user string) (Credentials, error) {
	for _, source := range s {
		look := source.Lookup
		if r, ok := source.(Renewer); ok {
			look = r.Renew
		}
		if c, err := look(ctx, realm, user); !errors.Is(err, ErrNoUser) {
			return c, err
		}
	}
	return Credentials{}, ErrNoUser
}

// doubts reports whether what the Source remembers of the user may be the reason
// why the credentials are wrong. Strangers are doubted like users: the time that
// it takes must not tell who exists.
func (r *request) doubts(reason Reason) bool {
	if reason != ReasonPassword && reason != ReasonNoUser {
		return false
	}
	renewer, ok := r.a.o.Source.(Renewer)
	return ok && renewer.Doubt(r.realm, r.c.username)
}

// renew asks anew and makes the Decision. Without an answer that which was
// remembered holds, for the given reason: while a database is away, guesses must
// not make it forget.
func (r *request) renew(ctx context.Context, reason Reason) {
	creds, err := r.a.o.Source.(Renewer).Renew(ctx, r.realm, r.c.username)
	if err == nil || errors.Is(err, ErrNoUser) {
		reason = r.prove(&creds, err)
	}
	r.conclude(&creds, reason)
}
