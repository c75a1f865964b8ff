package console

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"reveille/internal/admin"
	"reveille/internal/signon"
)

// SignOn is how people log in at an OpenID provider.
type SignOn struct {
	Client *signon.Client
	// Roles are what values of the provider's claim allow; the highest counts.
	Roles map[string]admin.Role
	// Longest ends a session, as LongestTime does: until then nobody asks the provider
	// again what the person may do.
	Longest time.Duration
}

// A person has logged in at the provider.
type person struct {
	// realm is that of the Client.
	realm         string
	subject, name string
	// values are those of the claim that Roles had at the login.
	values []string
}

// principal returns who a person is now, if the provider is still that which was asked.
// Without a role they may do nothing.
func (s *SignOn) principal(p person) (admin.Principal, bool) {
	if s == nil || p.realm != s.Client.Realm() {
		return admin.Principal{}, false
	}
	who := admin.Principal{Kind: admin.KindOIDC, Name: p.name}
	for _, v := range p.values {
		who.Role = max(who.Role, s.Roles[v])
	}
	return who, true
}

// What somebody who logs in may be told; the log says more.
var (
	errBegunElsewhere = errors.New("this login was not begun in this browser, or more than ten minutes ago. Begin it again")
	errProviderDown   = errors.New("the provider cannot be asked now. Try again in a few seconds, or log in with a token")
	errNotValid       = errors.New("the provider's answer is not valid. Begin again; if that does not help, the server's log says why")
)

// beginSignOn sends a browser to the provider.
func (c *Console) beginSignOn(w http.ResponseWriter, r *http.Request) {
	s := c.signOn()
	if s == nil {
		c.fail(w, r, visitor{}, errNotFound)
		return
	}
	next := local(r.URL.Query().Get("next"))
	attempt, to, err := s.Client.Begin(r.Context())
	if err != nil {
		c.refuse(w, r, http.StatusServiceUnavailable, errProviderDown, err, next)
		return
	}
	sealed, err := c.attempts.seal(begun{Attempt: attempt, Next: next, Until: c.now().Add(attemptTime)})
	if err != nil {
		c.fail(w, r, visitor{}, fmt.Errorf("begin a login: %w", err))
		return
	}
	http.SetCookie(w, attemptCookie(r, s, sealed, int(attemptTime/time.Second)))
	http.Redirect(w, r, to, http.StatusSeeOther)
}

// finishSignOn takes a browser that the provider sent back.
func (c *Console) finishSignOn(w http.ResponseWriter, r *http.Request) {
	s := c.signOn()
	if s == nil {
		c.fail(w, r, visitor{}, errNotFound)
		return
	}
	b, err := c.attempts.of(r, s, c.now())
	if err != nil {
		c.refuse(w, r, http.StatusBadRequest, errBegunElsewhere, err, Path)
		return
	}
	// Whatever comes of it, this was the one try.
	http.SetCookie(w, attemptCookie(r, s, "", -1))
	if err := c.door.Locked(r); err != nil {
		c.refuse(w, r, refusal(w, err), err, err, b.Next)
		return
	}
	found, err := c.ask(r.Context(), s, b, r)
	switch {
	case errors.Is(err, signon.ErrUnavailable):
		c.refuse(w, r, http.StatusServiceUnavailable, errProviderDown, err, b.Next)
		return
	case err != nil:
		if denied, ok := errors.AsType[*deniedError](err); ok {
			c.refuse(w, r, http.StatusForbidden, denied, denied, b.Next)
			return
		}
		// Codes are guessed no more often than tokens.
		c.door.Failed(r)
		c.refuse(w, r, http.StatusUnauthorized, errNotValid, err, b.Next)
		return
	}
	p := person{realm: s.Client.Realm(), subject: found.Subject, name: found.Name}
	for _, v := range found.Values {
		// No more than what may matter is remembered.
		if s.Roles[v] > 0 && !slices.Contains(p.values, v) {
			p.values = append(p.values, v)
		}
	}
	who, _ := s.principal(p)
	if who.Role < admin.Read {
		none := fmt.Errorf("you are %s, and have no role here: no value of the claim %s is one of http.oidc.roles. Ask whoever runs this server", p.name, s.Client.RoleClaim())
		c.refuse(w, r, http.StatusForbidden, none, fmt.Errorf("%s (subject %s) has no role by the claim %s", p.name, p.subject, s.Client.RoleClaim()), b.Next)
		return
	}
	c.open(w, r, proof{person: p}, s.Longest, who)
	// A redirection would go on with the request that another site began, which browsers
	// send no strict cookie with: this page has the next one be asked for.
	w.Header().Set("Refresh", "0; url="+b.Next)
	c.render(w, r, http.StatusOK, visitor{}, page{Title: "Logged in", name: "loggedin", Body: b.Next})
}

// A deniedError says what the provider said instead of letting somebody in.
type deniedError struct{ code string }

// Error implements error.
func (e *deniedError) Error() string { return "the provider did not let you in (" + e.code + ")" }

// ask asks the provider who somebody is that it sent back with the request.
func (c *Console) ask(ctx context.Context, s *SignOn, b begun, r *http.Request) (signon.Person, error) {
	q := r.URL.Query()
	if !s.Client.IssuerIs(q.Get("iss")) {
		return signon.Person{}, errors.New("the answer is another provider's")
	}
	if code := q.Get("error"); code != "" {
		return signon.Person{}, &deniedError{errorCode(code)}
	}
	if q.Get("code") == "" {
		return signon.Person{}, errors.New("the answer has no code")
	}
	found, err := s.Client.Finish(ctx, b.Attempt, q.Get("code"))
	if err == nil && !c.attempts.once(b.State) {
		err = errors.New("this login was finished before")
	}
	return found, err
}

// errorCode is a code of RFC 6749 §4.1.2.1; whatever else somebody wrote is none.
func errorCode(s string) string {
	const letters = "abcdefghijklmnopqrstuvwxyz_"
	if len(s) > 40 || strings.Trim(s, letters) != "" {
		return "without a reason"
	}
	return s
}

// refuse logs why somebody is not let in, and says as much as they may know.
func (c *Console) refuse(w http.ResponseWriter, r *http.Request, status int, says, why error, next string) {
	c.log.Info("console login failed", "kind", admin.KindOIDC, "remote", r.RemoteAddr, "err", why)
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", seconds(signon.Pause))
	}
	c.askLogin(w, r, status, sentence(says.Error()), next)
}
