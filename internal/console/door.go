package console

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"reveille/internal/admin"
)

// A Door says who may come in. It is safe for concurrent use.
type Door interface {
	// Token returns who has a token. Wrong ones are counted by the address of r; the
	// error is a *admin.Locked if there were too many, else why it is not taken.
	Token(r *http.Request, token string) (admin.Principal, error)
	// Known returns who has the token of a session, if it is still one. Nothing is
	// counted.
	Known(token string) (admin.Principal, bool)
	// Certificate returns who has the client certificate of r, if there is a known one.
	Certificate(r *http.Request) (admin.Principal, bool)
	// Locked returns a *admin.Locked if too many tries from the address of r failed, and
	// Failed counts one more.
	Locked(r *http.Request) error
	Failed(r *http.Request)
}

// A visitor is who asks for a page.
type visitor struct {
	admin.Principal
	// key tells visitors apart in form tokens.
	key string
	// session is the cookie's value, empty for those who have a certificate.
	session string
}

// LoggedIn reports whether there is a session to log out of.
func (v visitor) LoggedIn() bool { return v.session != "" }

// may reports whether the visitor has a role, or one above it.
func (v visitor) may(role admin.Role) bool { return v.Role >= role }

// errOutside says that somebody has to log in first.
var errOutside = errors.New("nobody is logged in")

// enter returns who sent a request. What the session was opened with is looked up each
// time: it may be gone from the configuration.
func (c *Console) enter(r *http.Request) (visitor, error) {
	if cookie, err := r.Cookie(cookieName(r)); err == nil {
		if proof, ok := c.sessions.proof(cookie.Value, c.now()); ok {
			if p, ok := c.known(proof); ok && p.Role >= admin.Read {
				return visitor{p, "session " + cookie.Value, cookie.Value}, nil
			}
			c.sessions.end(cookie.Value)
		}
	}
	if p, ok := c.door.Certificate(r); ok && p.Role >= admin.Read {
		return visitor{p, "certificate " + p.Name, ""}, nil
	}
	return visitor{}, errOutside
}

// known returns who has logged in with something, if it would still do.
func (c *Console) known(p proof) (admin.Principal, bool) {
	if p.token != "" {
		return c.door.Known(p.token)
	}
	return c.signOn().principal(p.person)
}

// loginPage is what the form to log in shows.
type loginPage struct {
	// Wrong is why the last try failed, empty before the first.
	Wrong string
	// Next is where to go afterwards.
	Next string
	// SignOn is where people log in at the provider, whose name is Provider; empty if
	// there is none.
	SignOn, Provider string
}

// askLogin shows the form to log in, and why the last try failed.
func (c *Console) askLogin(w http.ResponseWriter, r *http.Request, status int, wrong, next string) {
	body := loginPage{Wrong: wrong, Next: next}
	if s := c.signOn(); s != nil {
		// At the address at which the provider sends people back: they may be here by
		// another, where the cookie would be out of sight then.
		body.SignOn, body.Provider = s.Client.Origin()+Path+"login/sso?next="+url.QueryEscape(next), s.Client.Host()
	}
	c.render(w, r, status, visitor{}, page{Title: "Log in", name: "login", Body: body})
}

func (c *Console) showLogin(w http.ResponseWriter, r *http.Request) {
	if _, err := c.enter(r); err == nil {
		http.Redirect(w, r, Path, http.StatusSeeOther)
		return
	}
	c.askLogin(w, r, http.StatusOK, "", local(r.URL.Query().Get("next")))
}

// maxForm bounds a form in bytes.
const maxForm = 16 << 10

func (c *Console) login(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	next, token := local(r.PostFormValue("next")), strings.TrimSpace(r.PostFormValue("token"))
	p, err := c.door.Token(r, token)
	if err == nil && p.Role < admin.Read {
		err = errors.New("this token is not for people: it is for events alone")
	}
	if err != nil {
		c.log.Info("console login failed", "remote", r.RemoteAddr, "err", err)
		c.askLogin(w, r, refusal(w, err), sentence(err.Error()), next)
		return
	}
	c.open(w, r, proof{token: token}, LongestTime, p)
	http.Redirect(w, r, next, http.StatusSeeOther)
}

// refusal returns the status for somebody who is not let in, and says for how long.
func refusal(w http.ResponseWriter, err error) int {
	if locked, ok := errors.AsType[*admin.Locked](err); ok {
		w.Header().Set("Retry-After", seconds(locked.For))
		return http.StatusTooManyRequests
	}
	return http.StatusUnauthorized
}

// open begins a session, and ends the one before: somebody else may have planted it.
func (c *Console) open(w http.ResponseWriter, r *http.Request, p proof, longest time.Duration, who admin.Principal) {
	if old, err := r.Cookie(cookieName(r)); err == nil {
		c.sessions.end(old.Value)
	}
	c.log.Info("console login", "name", who.Name, "kind", who.Kind, "role", who.Role.String(), "subject", p.person.subject, "remote", r.RemoteAddr)
	http.SetCookie(w, sessionCookie(r, c.sessions.open(p, longest, c.now())))
}

func (c *Console) logout(w http.ResponseWriter, r *http.Request, v visitor) {
	if v.session != "" {
		c.sessions.end(v.session)
	}
	http.SetCookie(w, noCookie(r))
	http.Redirect(w, r, Path+"login", http.StatusSeeOther)
}

// local returns to as a place in the console; whatever leads elsewhere is its first
// page.
func local(to string) string {
	u, err := url.Parse(to)
	if err != nil || u.IsAbs() || u.Host != "" || !strings.HasPrefix(u.Path, Path) || strings.Contains(to, `\`) || strings.HasPrefix(u.Path, Path+"login") {
		return Path
	}
	return u.RequestURI()
}
